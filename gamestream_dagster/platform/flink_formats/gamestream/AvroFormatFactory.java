package gamestream;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
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
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeFamily;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.RowType;

/**
 * The format `gamestream-avro`: Avro in the Confluent wire format, for a stream in which no record may stop the job.
 * A record that cannot be read gives no row, as with `json.ignore-parse-errors`; Flink's own `avro-confluent` has no such
 * setting and restarts the job for ever.
 */
public final class AvroFormatFactory implements DeserializationFormatFactory {
    private static final ConfigOption<String> URL = ConfigOptions.key("url").stringType().noDefaultValue();
    // `user:password`; a name that Flink masks in its own messages
    private static final ConfigOption<String> LOGIN =
            ConfigOptions.key("basic-auth.user-info").stringType().defaultValue("");

    @Override
    public String factoryIdentifier() {
        return "gamestream-avro";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Collections.singleton(URL);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Collections.singleton(LOGIN);
    }

    @Override
    public DecodingFormat<DeserializationSchema<RowData>> createDecodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        FactoryUtil.validateFactoryOptions(this, options);
        return new Format(options.get(URL), options.get(LOGIN));
    }

    private static final class Format implements DecodingFormat<DeserializationSchema<RowData>> {
        private final String url;
        private final String login;

        Format(String url, String login) {
            this.url = url;
            this.login = login;
        }

        @Override
        public DeserializationSchema<RowData> createRuntimeDecoder(
                DynamicTableSource.Context context, DataType physical) {
            RowType type = (RowType) physical.getLogicalType();
            List<LogicalType> types = type.getChildren();
            boolean[] numbers = new boolean[types.size()];
            for (int column = 0; column < numbers.length; column++) {
                numbers[column] = types.get(column).is(LogicalTypeRoot.BIGINT);
                if (!numbers[column] && !types.get(column).is(LogicalTypeFamily.CHARACTER_STRING)) {
                    throw new ValidationException("The format gamestream-avro reads STRING and BIGINT columns, not "
                            + type.getFieldNames().get(column) + " " + types.get(column) + ".");
                }
            }
            String[] names = type.getFieldNames().toArray(new String[0]);
            return new Rows(url, login, names, numbers, context.createTypeInformation(physical));
        }

        @Override
        public ChangelogMode getChangelogMode() {
            return ChangelogMode.insertOnly();
        }
    }

    private static final class Rows implements DeserializationSchema<RowData> {
        private static final long serialVersionUID = 1L;
        private static final int HEADER_BYTES = 5;

        private final String url;
        private final String login;
        private final String[] names;
        private final boolean[] numbers;
        private final TypeInformation<RowData> produced;
        private transient SchemaLookup lookup;
        private transient Map<AvroShape, int[]> places;

        Rows(String url, String login, String[] names, boolean[] numbers, TypeInformation<RowData> produced) {
            this.url = url;
            this.login = login;
            this.names = names;
            this.numbers = numbers;
            this.produced = produced;
        }

        @Override
        public RowData deserialize(byte[] message) throws IOException {
            if (message == null || message.length < HEADER_BYTES || message[0] != 0) {
                return null;
            }
            int id = ByteBuffer.wrap(message, 1, 4).getInt();
            if (id < 0) {
                return null;
            }
            if (lookup == null) {
                lookup = new SchemaLookup(url, login);
                places = new IdentityHashMap<>();
            }
            AvroShape shape = lookup.schema(id);
            if (shape == null) {
                return null;
            }
            try {
                return row(AvroReading.read(message, HEADER_BYTES, shape, this::columns, numbers));
            } catch (AvroReading.NotAvro error) {
                return null;
            }
        }

        private RowData row(Object[] values) {
            GenericRowData row = new GenericRowData(values.length);
            for (int column = 0; column < values.length; column++) {
                Object value = values[column];
                row.setField(column, value instanceof byte[] ? StringData.fromBytes((byte[]) value) : value);
            }
            return row;
        }

        private int[] columns(AvroShape record) {
            return places.computeIfAbsent(record, one -> columnsOf(one, names));
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

    /** For each field of a writer's record the column of its name, or -1. */
    static int[] columnsOf(AvroShape record, String[] names) {
        int[] columns = new int[record.names.length];
        for (int field = 0; field < columns.length; field++) {
            columns[field] = List.of(names).indexOf(record.names[field]);
        }
        return columns;
    }
}
