"""Jobs as manifests for the Flink Kubernetes Operator."""
