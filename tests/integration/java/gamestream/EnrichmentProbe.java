package gamestream;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;

/** Looks texts up as addresses and as device models: each line of stdin is one in UTF-8, in hex. */
public final class EnrichmentProbe {
    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String text = new String(HexFormat.of().parseHex(line), StandardCharsets.UTF_8);
            DeviceTable.Device device = Tables.devices().deviceOf(text);
            Map<String, Object> told = new LinkedHashMap<>();
            told.put("country", Tables.geo().countryOf(text));
            told.put("category", device.category);
            told.put("tier", device.tier);
            told.put("geo", Tables.geo().version);
            told.put("devices", Tables.devices().version);
            StringBuilder written = new StringBuilder();
            CanonicalJson.write(written, told);
            out.println(written);
        }
    }
}
