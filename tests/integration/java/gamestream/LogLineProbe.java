package gamestream;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;

/** What the format reads: the first line of stdin is the patterns, each other one a record in hex. */
public final class LogLineProbe {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        LogLine reader = new LogLine(lines.readLine());
        StringBuilder out = new StringBuilder();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            LogLine.Told told = reader.read(HexFormat.of().parseHex(line));
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("reason", told.reason);
            row.put("host", told.host);
            row.put("program", told.program);
            row.put("pid", told.pid);
            row.put("message", told.message);
            row.put("kind", told.kind);
            row.put("repeats", told.repeats);
            row.put("source", told.source);
            row.put("millis", told.millis);
            CanonicalJson.write(out, row);
            out.append('\n');
        }
        new PrintStream(System.out, true, StandardCharsets.UTF_8).print(out);
    }
}
