package gamestream;

import java.util.Collections;
import java.util.Set;

import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.format.DecodingFormat;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.factories.DeserializationFormatFactory;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.RowType;

/**
 * The format `gamestream-log-lines`: every record gives one row, whatever its bytes are. Columns by name are those of
 * `LogLine`: `repeats` and `millis` are BIGINT, every other is STRING; `country` is looked up by `source`.
 */
public final class LogLineFormatFactory implements DeserializationFormatFactory {
    private static final ConfigOption<String> PATTERNS = ConfigOptions.key("patterns").stringType().noDefaultValue();

    @Override
    public String factoryIdentifier() {
        return "gamestream-log-lines";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Collections.singleton(PATTERNS);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Collections.emptySet();
    }

    @Override
    public DecodingFormat<DeserializationSchema<RowData>> createDecodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        FactoryUtil.validateFactoryOptions(this, options);
        String patterns = options.get(PATTERNS);
        try {
            new LogLine(patterns);
        } catch (IllegalArgumentException error) {
            throw new ValidationException(error.getMessage());
        }
        return new Format(patterns);
    }

    private static final class Format implements DecodingFormat<DeserializationSchema<RowData>> {
        private final String patterns;

        Format(String patterns) {
            this.patterns = patterns;
        }

        @Override
        public DeserializationSchema<RowData> createRuntimeDecoder(
                DynamicTableSource.Context context, DataType physical) {
            RowType type = (RowType) physical.getLogicalType();
            for (RowType.RowField field : type.getFields()) {
                boolean number = field.getName().equals("repeats") || field.getName().equals("millis");
                LogicalTypeRoot needed = number ? LogicalTypeRoot.BIGINT : LogicalTypeRoot.VARCHAR;
                if (!LogLine.columns().contains(field.getName()) || !field.getType().is(needed)) {
                    throw new ValidationException("The format gamestream-log-lines has no column " + field.getName()
                            + " " + field.getType() + "; its columns are " + LogLine.columns() + ".");
                }
            }
            String[] names = type.getFieldNames().toArray(new String[0]);
            return new Rows(patterns, names, context.createTypeInformation(physical));
        }

        @Override
        public ChangelogMode getChangelogMode() {
            return ChangelogMode.insertOnly();
        }
    }

    private static final class Rows implements DeserializationSchema<RowData> {
        private static final long serialVersionUID = 1L;

        private final String patterns;
        private final String[] names;
        private final TypeInformation<RowData> produced;
        private transient LogLine reader;

        Rows(String patterns, String[] names, TypeInformation<RowData> produced) {
            this.patterns = patterns;
            this.names = names;
            this.produced = produced;
        }

        @Override
        public RowData deserialize(byte[] message) {
            if (reader == null) {
                reader = new LogLine(patterns);
            }
            LogLine.Told told = reader.read(message);
            GenericRowData row = new GenericRowData(names.length);
            for (int column = 0; column < names.length; column++) {
                row.setField(column, field(told, names[column]));
            }
            return row;
        }

        private static Object field(LogLine.Told told, String name) {
            switch (name) {
                case "repeats":
                    return told.repeats;
                case "millis":
                    return told.millis;
                case "reason":
                    return StringData.fromString(told.reason);
                case "host":
                    return StringData.fromString(told.host);
                case "program":
                    return StringData.fromString(told.program);
                case "pid":
                    return StringData.fromString(told.pid);
                case "message":
                    return StringData.fromString(told.message);
                case "kind":
                    return StringData.fromString(told.kind);
                case "source":
                    return StringData.fromString(told.source);
                default:
                    return told.source == null ? null : StringData.fromString(Tables.geo().countryOf(told.source));
            }
        }

        @Override
        public boolean isEndOfStream(RowData next) {
            return false;
        }

        @Override
        public TypeInformation<RowData> getProducedType() {
            return produced;
        }
    }
}
