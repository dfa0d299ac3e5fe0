package gamestream;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;

/** Judges records as the format does: the first line of stdin is the rules, each other one a value in hex, `-` for null.
 * An argument is the address of a schema registry.  */
public final class GameProbe {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        SchemaLookup schemas = arguments.length == 0 ? null : new SchemaLookup(arguments[0], "");
        GameJudge judge = new GameJudge(lines.readLine(), schemas);
        StringBuilder out = new StringBuilder();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            GameJudge.Outcome outcome = judge.judge(line.equals("-") ? null : HexFormat.of().parseHex(line));
            Map<String, Object> told = new LinkedHashMap<>();
            told.put("reason", outcome.reason == null ? null : outcome.reason.name());
            if (outcome.reason == null) {
                told.putAll(outcome.envelope);
                told.put("properties", outcome.properties);
                told.put("digest", outcome.digest);
                told.put("unknown_field", outcome.unknownField);
                told.put("derived_id", outcome.derivedId);
            } else {
                told.put("event_time", outcome.envelope.get("event_time"));
                // escaped: a path may hold what is no text
                told.put("field", outcome.field == null ? null : escaped(outcome.field));
            }
            CanonicalJson.write(out, told);
            out.append('\n');
        }
        new PrintStream(System.out, true, StandardCharsets.UTF_8).print(out);
    }

    private static String escaped(String text) {
        StringBuilder made = new StringBuilder();
        for (char found : text.toCharArray()) {
            made.append(String.format("%04x", (int) found));
        }
        return made.toString();
    }
}
