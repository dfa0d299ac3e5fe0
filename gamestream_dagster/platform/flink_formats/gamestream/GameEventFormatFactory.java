package gamestream;

import java.io.IOException;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
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
 * The format `gamestream-game-events`: every record gives one row, whatever its bytes are, with what the judge says.
 *
 * Columns, by name: `reason` and `field` of a refused record; `digest`, `properties` and `unknown_field` of an accepted
 * one; `derived_id` of an Avro record that may lack an id; `payload`, the bytes, and `not_text`, whether these are no
 * UTF-8; every other is an envelope field in its normal form, or null. Of an accepted event, `country` is looked up by
 * `ip_address` where it was not sent, `geo_version` is then the table's, and `device_category`, `device_tier` and
 * `device_version` come from `device_model`. Of a record of an erased player `reason` is ERASED and every other column
 * is null.
 */
public final class GameEventFormatFactory implements DeserializationFormatFactory {
    private static final String TIME = "event_time";
    private static final ConfigOption<String> RULES = ConfigOptions.key("rules").stringType().noDefaultValue();
    // of the schema registry, for records in Avro; without it they are refused
    private static final ConfigOption<String> URL = ConfigOptions.key("url").stringType().defaultValue("");
    // `user:password`; a name that Flink masks in its own messages
    private static final ConfigOption<String> LOGIN =
            ConfigOptions.key("basic-auth.user-info").stringType().defaultValue("");

    // players who were erased, by salted hash
    private static final ConfigOption<String> ERASED = ConfigOptions.key("erased").stringType().defaultValue("");

    @Override
    public String factoryIdentifier() {
        return "gamestream-game-events";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Collections.singleton(RULES);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of(URL, LOGIN, ERASED);
    }

    @Override
    public DecodingFormat<DeserializationSchema<RowData>> createDecodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        FactoryUtil.validateFactoryOptions(this, options);
        String rules = options.get(RULES);
        try {
            new GameJudge(rules, null);
            erasedPlayers(options.get(ERASED));
        } catch (IllegalArgumentException error) {
            throw new ValidationException(error.getMessage());
        }
        return new Format(rules, options.get(URL), options.get(LOGIN), options.get(ERASED));
    }

    private static ErasedPlayers erasedPlayers(String listed) {
        return listed.isEmpty() ? null : new ErasedPlayers(listed);
    }

    private static final class Format implements DecodingFormat<DeserializationSchema<RowData>> {
        private final String rules;
        private final String url;
        private final String login;
        private final String erased;

        Format(String rules, String url, String login, String erased) {
            this.rules = rules;
            this.url = url;
            this.login = login;
            this.erased = erased;
        }

        @Override
        public DeserializationSchema<RowData> createRuntimeDecoder(
                DynamicTableSource.Context context, DataType physical) {
            RowType type = (RowType) physical.getLogicalType();
            List<LogicalType> types = type.getChildren();
            for (int column = 0; column < types.size(); column++) {
                LogicalType found = types.get(column);
                if (!found.is(LogicalTypeRoot.BIGINT) && !found.is(LogicalTypeRoot.BOOLEAN)
                        && !found.is(LogicalTypeFamily.CHARACTER_STRING) && !found.is(LogicalTypeFamily.BINARY_STRING)) {
                    throw new ValidationException("The format gamestream-game-events has STRING, BIGINT, BOOLEAN and"
                            + " BYTES columns, not " + type.getFieldNames().get(column) + " " + found + ".");
                }
            }
            String[] names = type.getFieldNames().toArray(new String[0]);
            return new Rows(rules, url, login, erased, names, context.createTypeInformation(physical));
        }

        @Override
        public ChangelogMode getChangelogMode() {
            return ChangelogMode.insertOnly();
        }
    }

    private static final class Rows implements DeserializationSchema<RowData> {
        private static final long serialVersionUID = 1L;

        private final String rules;
        private final String url;
        private final String login;
        private final String erased;
        private final String[] names;
        private final TypeInformation<RowData> produced;
        private final boolean enriches;
        private transient GameJudge judge;
        private transient ErasedPlayers players;

        Rows(String rules, String url, String login, String erased, String[] names,
                TypeInformation<RowData> produced) {
            this.rules = rules;
            this.url = url;
            this.login = login;
            this.erased = erased;
            this.names = names;
            this.produced = produced;
            enriches = Arrays.stream(names).anyMatch(Enriched.COLUMNS::contains);
        }

        @Override
        public RowData deserialize(byte[] message) throws IOException {
            if (judge == null) {
                judge = new GameJudge(rules, url.isEmpty() ? null : new SchemaLookup(url, login));
                players = erasedPlayers(erased);
            }
            GameJudge.Outcome outcome = judge.judge(message);
            if (players != null) {
                if (players.owns(outcome, message)) {
                    return erasedRow();
                }
                outcome.properties = players.renamed(outcome.properties);
            }
            Enriched enriched = outcome.reason == null && enriches ? new Enriched(outcome.envelope) : null;
            GenericRowData row = new GenericRowData(names.length);
            for (int column = 0; column < names.length; column++) {
                String name = names[column];
                if (Enriched.COLUMNS.contains(name)) {
                    row.setField(column, enriched == null ? null : StringData.fromString(enriched.column(name)));
                } else {
                    row.setField(column, field(outcome, name, message));
                }
            }
            return row;
        }

        /** That there was a record, for whoever counts, and nothing of its content. */
        private RowData erasedRow() {
            GenericRowData row = new GenericRowData(names.length);
            for (int column = 0; column < names.length; column++) {
                row.setField(column, names[column].equals("reason") ? StringData.fromString(ErasedPlayers.REASON) : null);
            }
            return row;
        }

        private static Object field(GameJudge.Outcome outcome, String name, byte[] message) {
            switch (name) {
                case "reason":
                    return outcome.reason == null ? null : StringData.fromString(outcome.reason.name());
                case "field":
                    return StringData.fromString(outcome.field);
                case "properties":
                    return StringData.fromString(outcome.properties);
                case "derived_id":
                    return StringData.fromString(outcome.derivedId);
                case "digest":
                    return StringData.fromString(outcome.digest);
                case "unknown_field":
                    return outcome.unknownField;
                case "payload":
                    return message;
                case "not_text":
                    return outcome.reason == GameReason.NOT_UTF8 || AvroDocument.isFramed(message);
                default:
                    Object value = outcome.envelope.get(name);
                    // the code of an unknown event type is a number
                    return value == null || name.equals(TIME) ? value : StringData.fromString(value.toString());
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
