package gamestream;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;

import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.runtime.connector.source.ScanRuntimeProviderContext;
import org.apache.flink.table.types.DataType;

/** Rows of the format: arguments are STRING columns, the first line of stdin is the rules, each other one a value in hex. */
public final class RowsProbe {
    public static void main(String[] columns) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Configuration options = new Configuration();
        options.setString("rules", lines.readLine());
        options.setString("erased", System.getProperty("erased", ""));
        DataType type = DataTypes.ROW(Arrays.stream(columns)
                .map(name -> DataTypes.FIELD(name, DataTypes.STRING())).toArray(DataTypes.Field[]::new));
        DeserializationSchema<RowData> rows = new GameEventFormatFactory().createDecodingFormat(null, options)
                .createRuntimeDecoder(ScanRuntimeProviderContext.INSTANCE, type);
        StringBuilder out = new StringBuilder();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            RowData row = rows.deserialize(HexFormat.of().parseHex(line));
            Map<String, Object> told = new LinkedHashMap<>();
            for (int column = 0; column < columns.length; column++) {
                told.put(columns[column], row.isNullAt(column) ? null : row.getString(column).toString());
            }
            CanonicalJson.write(out, told);
            out.append('\n');
        }
        new PrintStream(System.out, true, StandardCharsets.UTF_8).print(out);
    }
}
