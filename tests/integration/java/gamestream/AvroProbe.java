package gamestream;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;

/** Reads records as the format does: each line of stdin is a schema and a record in hex, each line of stdout the row. */
public final class AvroProbe {
    private static final String[] NAMES = {
        "user_id", "team_id", "team_name", "score", "event_time_millis", "readable_time", "event_type", "event_id"
    };
    private static final boolean[] NUMBERS = {false, false, false, true, true, false, false, false};

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        StringBuilder out = new StringBuilder();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] parts = line.split("\t", -1);
            out.append(told(HexFormat.of().parseHex(parts[0]), HexFormat.of().parseHex(parts[1]))).append('\n');
        }
        System.out.print(out);
    }

    private static String told(byte[] schema, byte[] record) throws Exception {
        try {
            AvroShape shape = AvroShape.of(new ObjectMapper().readTree(schema), AvroShape.noNames());
            Object[] row = AvroReading.read(
                    record, 0, shape, one -> AvroFormatFactory.columnsOf(one, NAMES), NUMBERS);
            StringBuilder told = new StringBuilder();
            for (Object value : row) {
                told.append(value instanceof byte[] ? "t" + HexFormat.of().formatHex((byte[]) value) : "" + value);
                told.append(' ');
            }
            return told.toString().trim();
        } catch (AvroShape.UnusableSchema error) {
            return "unusable";
        } catch (AvroReading.NotAvro error) {
            return "not avro";
        }
    }
}
