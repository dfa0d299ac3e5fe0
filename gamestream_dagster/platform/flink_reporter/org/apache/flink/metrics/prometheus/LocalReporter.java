package org.apache.flink.metrics.prometheus;

import io.prometheus.client.exporter.HTTPServer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;

/**
 * Flink's Prometheus reporter on 127.0.0.1. Flink's own listens on every address and has no option for one. The base
 * class shows its registry to its own package only, so this class is in it.
 */
public final class LocalReporter extends AbstractPrometheusReporter {
    private final HTTPServer server;

    LocalReporter(int port) {
        try {
            server = new HTTPServer(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), registry, true);
        } catch (IOException error) {
            throw new UncheckedIOException("The port " + port + " of 127.0.0.1 cannot be used for metrics", error);
        }
        log.info("Metrics for Prometheus on 127.0.0.1:{}.", port);
    }

    @Override
    public void close() {
        server.stop();
        super.close();
    }
}
