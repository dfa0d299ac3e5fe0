package org.apache.flink.metrics.prometheus;

import java.util.Properties;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.metrics.reporter.MetricReporterFactory;

/** Makes the reporter for `metrics.reporter.NAME.factory.class`; its option `port` is required. */
public final class LocalReporterFactory implements MetricReporterFactory {
    @Override
    public LocalReporter createMetricReporter(Properties properties) {
        return new LocalReporter(((MetricConfig) properties).getInteger("port", 0));
    }
}
