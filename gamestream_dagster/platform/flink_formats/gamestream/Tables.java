package gamestream;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The enrichment tables of this process: those of the folder that `GAMESTREAM_ENRICHMENT_DIR` names, looked at again
 * every ten seconds, else those of the jar. One copy for all tasks.
 */
final class Tables {
    private static final Logger LOG = LoggerFactory.getLogger(Tables.class);
    private static final String FOLDER = System.getenv("GAMESTREAM_ENRICHMENT_DIR");
    // the same as LOOK_SECONDS of enrichment/tables.py
    private static final long LOOK_NANOS = TimeUnit.SECONDS.toNanos(10);
    private static final Watched<GeoTable> GEO = new Watched<>("geo.bin", GeoTable::new);
    private static final Watched<DeviceTable> DEVICES = new Watched<>("devices.json", DeviceTable::new);

    private Tables() {}

    static GeoTable geo() {
        return GEO.current();
    }

    static DeviceTable devices() {
        return DEVICES.current();
    }

    private static final class Watched<T> {
        private final String name;
        private final Function<byte[], T> read;
        private volatile T table;
        private volatile long next = System.nanoTime();
        private Object seen;

        Watched(String name, Function<byte[], T> read) {
            this.name = name;
            this.read = read;
            try (InputStream packaged = Tables.class.getResourceAsStream("/enrichment/" + name)) {
                table = read.apply(packaged.readAllBytes());
            } catch (IOException error) {
                throw new IllegalStateException("The jar of the formats has no enrichment/" + name + ".", error);
            }
        }

        T current() {
            if (System.nanoTime() - next >= 0) {
                look();
            }
            return table;
        }

        private synchronized void look() {
            if (System.nanoTime() - next < 0) {
                return;
            }
            next = System.nanoTime() + LOOK_NANOS;
            if (FOLDER == null) {
                return;
            }
            Path path = Path.of(FOLDER, name);
            try {
                BasicFileAttributes found = Files.readAttributes(path, BasicFileAttributes.class);
                Object key = found.fileKey() + " " + found.lastModifiedTime() + " " + found.size();
                if (!key.equals(seen)) {
                    seen = key;
                    table = read.apply(Files.readAllBytes(path));
                    LOG.info("The table {} is in use.", path);
                }
            } catch (IOException | RuntimeException error) {
                // a file that is away or broken stops no job: the table in use stays
                LOG.warn("The table {} cannot be used; the former one stays in use: {}", path, error.toString());
            }
        }
    }
}
