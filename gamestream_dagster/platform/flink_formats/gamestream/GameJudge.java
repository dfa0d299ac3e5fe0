package gamestream;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * What becomes of a game event, by the rules document: catalogue/game_rules.py states the rule, events/game_judge.py is
 * the same in Python, and both are tested on one table of cases.
 *
 * What depends on the Kafka timestamp is left to SQL, which alone has it: `FUTURE_TIMESTAMP` and `TOO_OLD` stand between
 * the reasons, so that `GameReason.BAD_TIMESTAMP` and those before it win over them, and those behind do not.
 */
final class GameJudge {
    private static final int RULES_VERSION = 1;
    private static final int RULES_DEPTH = 32;
    private static final int RULES_NUMBER = 64;
    private static final int DIGEST_BYTES = 16;
    private static final String TYPE = "event_type";
    private static final String ID = "event_id";

    private final StrictJson json;
    private final SchemaLookup schemas;
    private final int recordBytes;
    private final int depth;
    private final int numberCharacters;
    private final int numberExponent;
    private final List<GameField> envelope;
    private final Set<String> envelopeFields = new HashSet<>();
    private final Map<String, Kind> kinds = new HashMap<>();
    private final Map<String, String> kindsByPlainName = new HashMap<>();
    private final MessageDigest sha256;

    /** An event type. */
    private static final class Kind {
        final String name;
        final Set<String> requires;
        final Set<String> optional;
        final List<String> lifts;
        final List<String> derives;
        final List<GameField> properties;
        final Set<String> known = new HashSet<>();

        Kind(Map<?, ?> rules, List<GameField> properties) {
            name = (String) rules.get("name");
            requires = new HashSet<>(GameField.texts(rules.get("requires")));
            optional = new HashSet<>(GameField.texts(rules.get("optional")));
            lifts = GameField.texts(rules.get("lifts"));
            derives = GameField.texts(rules.get("derives"));
            this.properties = properties;
            properties.forEach(field -> known.add(field.name));
        }

        boolean requires(GameField field) {
            return requires.contains(field.name) || (field.required && !optional.contains(field.name));
        }
    }

    /** What the judge found. `reason` is null for an event that is accepted unless its time is refused. */
    static final class Outcome {
        GameReason reason;
        /** Path of the field that the reason is about; null for the whole record. */
        String field;
        /** Envelope fields in their normal form; of a refused event those that could be read. */
        final Map<String, Object> envelope = new LinkedHashMap<>();
        /** Canonical JSON. */
        String properties;
        String digest;
        /** Of an Avro record whose type may lack an id, and which does. SQL adds the Kafka time where it is the event's. */
        String derivedId;
        boolean unknownField;

        void add(GameReason found, String path) {
            if (reason == null || found.ordinal() < reason.ordinal()) {
                reason = found;
                field = path;
            }
        }
    }

    /** `schemas`: those of Avro records; null: no Avro record can be read. */
    GameJudge(String document, SchemaLookup schemas) {
        this.schemas = schemas;
        Map<?, ?> rules;
        try {
            StrictJson reader = new StrictJson(RULES_DEPTH, RULES_NUMBER, RULES_NUMBER);
            rules = (Map<?, ?>) reader.read(document.getBytes(StandardCharsets.UTF_8));
        } catch (StrictJson.Refused error) {
            throw new IllegalArgumentException("The rules of game events are not JSON.");
        }
        if (!Long.valueOf(RULES_VERSION).equals(rules.get("version"))) {
            throw new IllegalArgumentException("This format reads the rules of game events in version "
                    + RULES_VERSION + ", not " + rules.get("version") + ": restart the stack to build it anew.");
        }
        Map<?, ?> limits = (Map<?, ?>) rules.get("limits");
        Map<?, ?> times = (Map<?, ?>) rules.get("times");
        recordBytes = whole(limits, "record_bytes");
        int characters = whole(limits, "number_characters");
        depth = whole(limits, "depth");
        numberCharacters = characters;
        numberExponent = whole(limits, "number_exponent");
        json = new StrictJson(depth, characters, numberExponent);
        envelope = fields(rules.get("envelope"), "", characters, times);
        for (GameField field : envelope) {
            envelopeFields.add(field.name);
        }
        for (Object one : (List<?>) rules.get("event_types")) {
            Map<?, ?> type = (Map<?, ?>) one;
            Kind kind = new Kind(type, fields(type.get("properties"), "properties.", characters, times));
            for (String name : GameField.texts(type.get("names"))) {
                kinds.put(name, kind);
                kindsByPlainName.put(plain(name), name);
            }
        }
        try {
            sha256 = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    private static int whole(Map<?, ?> rules, String key) {
        return ((Long) rules.get(key)).intValue();
    }

    private static List<GameField> fields(Object listed, String prefix, int characters, Map<?, ?> times) {
        List<GameField> found = new ArrayList<>();
        long earliest = (Long) times.get("earliest");
        long latest = (Long) times.get("latest");
        for (Object one : (List<?>) listed) {
            found.add(new GameField((Map<?, ?>) one, prefix, characters, earliest, latest));
        }
        return found;
    }

    /** What becomes of a record's value; null is a tombstone. Not safe to share between threads. */
    Outcome judge(byte[] value) throws IOException {
        Outcome outcome = new Outcome();
        Object document;
        try {
            document = AvroDocument.isFramed(value) ? avro(value) : json.read(value);
        } catch (StrictJson.Refused error) {
            outcome.add(error.utf8 ? GameReason.NOT_JSON : GameReason.NOT_UTF8, null);
            return outcome;
        } catch (AvroReading.NotAvro error) {
            outcome.add(GameReason.NOT_AVRO, null);
            return outcome;
        } catch (AvroDocument.NotUtf8 error) {
            outcome.add(GameReason.NOT_UTF8, null);
            return outcome;
        }
        if (!(document instanceof Map)) {
            outcome.add(GameReason.NOT_AN_OBJECT, null);
            return outcome;
        }
        if (value.length > recordBytes) {
            outcome.add(GameReason.TOO_LARGE, null);
        }
        judge((Map<?, ?>) document, AvroDocument.isFramed(value) ? value : null, outcome);
        return outcome;
    }

    private Map<String, Object> avro(byte[] value) throws IOException, AvroReading.NotAvro, AvroDocument.NotUtf8 {
        int id = AvroDocument.schemaOf(value);
        AvroShape shape = id < 0 || schemas == null ? null : schemas.schema(id);
        if (shape == null) {
            throw new AvroReading.NotAvro("no schema");
        }
        StringBuilder name = new StringBuilder();
        Map<String, Object> document =
                new AvroDocument(value, depth, numberCharacters, numberExponent).read(shape, name);
        GameField type = null;
        for (GameField field : envelope) {
            type = field.name.equals(TYPE) ? field : type;
        }
        for (String sent : type.names) {
            if (!type.absent(document.get(sent))) {
                return document;
            }
        }
        String said = name.toString();
        document.put(TYPE, kindsByPlainName.getOrDefault(plain(said), said));
        return document;
    }

    /** `PlayerHealth`, `Player_Health` and `player_health` are one. */
    private static String plain(String name) {
        return name.replace("_", "").toLowerCase(Locale.ROOT);
    }

    /** `avro`: the record's bytes; null: it was JSON. */
    private void judge(Map<?, ?> document, byte[] avro, Outcome outcome) {
        Set<String> used = new HashSet<>();
        Map<String, Object> sent = taken(envelope, document, used);
        Kind kind = kindOf(sent.get(TYPE), outcome);
        Object properties = sent.remove("properties");
        Map<String, Object> besides = besides(document, used);
        if (properties == null) {
            properties = besides;
        } else {
            outcome.unknownField = besides.values().stream().anyMatch(value -> value != null);
        }
        if (kind != null && properties instanceof Map) {
            properties = lifted(kind, sent, (Map<?, ?>) properties);
        }
        List<String> derived = avro == null || kind == null ? List.of() : kind.derives;
        judgeEnvelope(kind, sent, derived, outcome);
        if (derived.contains(ID) && !sent.containsKey(ID)) {
            outcome.derivedId = derivedId(kind, avro);
        }
        Map<String, Object> normal = new LinkedHashMap<>();
        if (!(properties instanceof Map)) {
            outcome.add(GameReason.WRONG_TYPE, "properties");
        } else if (kind != null) {
            normal = judgeProperties(kind, (Map<?, ?>) properties, outcome);
        }
        if (outcome.reason == null) {
            String bad = BadText.in(document, "");
            if (bad != null) {
                outcome.add(GameReason.BAD_TEXT, bad.isEmpty() ? null : bad);
            }
        }
        if (outcome.reason == null) {
            finish(normal, outcome);
        }
    }

    /** Top-level fields that no envelope field took its value from. */
    private Map<String, Object> besides(Map<?, ?> document, Set<String> used) {
        Map<String, Object> found = new LinkedHashMap<>();
        document.forEach((name, value) -> {
            if (!used.contains(name) && !envelopeFields.contains(name)) {
                found.put((String) name, value);
            }
        });
        return found;
    }

    private Kind kindOf(Object sent, Outcome outcome) {
        if (!GameField.isWord(sent)) {
            return null;
        }
        Kind kind = kinds.get(sent.toString());
        if (kind == null) {
            outcome.add(GameReason.UNKNOWN_EVENT_TYPE, TYPE);
        }
        return kind;
    }

    private static Map<String, Object> taken(List<GameField> fields, Map<?, ?> document, Set<String> used) {
        Map<String, Object> sent = new HashMap<>();
        for (GameField field : fields) {
            for (String name : field.names) {
                Object value = document.get(name);
                if (!field.absent(value)) {
                    sent.put(field.name, value);
                    used.add(name);
                    break;
                }
            }
        }
        return sent;
    }

    private static Map<?, ?> lifted(Kind kind, Map<String, Object> sent, Map<?, ?> properties) {
        Map<?, ?> left = properties;
        for (String name : kind.lifts) {
            Object value = left.get(name);
            if (!sent.containsKey(name) && value != null && !value.equals("")) {
                sent.put(name, value);
                left = new LinkedHashMap<>(left);
                left.remove(name);
            }
        }
        return left;
    }

    private void judgeEnvelope(Kind kind, Map<String, Object> sent, List<String> derived, Outcome outcome) {
        for (GameField field : envelope) {
            Object value = sent.get(field.name);
            if (value == null) {
                if (derived.contains(field.name)) {
                    continue;
                }
                if (kind == null ? field.required : kind.requires(field)) {
                    outcome.add(GameReason.MISSING_FIELD, field.path);
                } else if (field.fallback != null) {
                    outcome.envelope.put(field.name, field.fallback);
                }
                continue;
            }
            Object normal = field.check(value);
            if (normal instanceof GameReason) {
                outcome.add((GameReason) normal, field.path);
            } else {
                outcome.envelope.put(field.name, normal);
            }
        }
        if (kind != null) {
            outcome.envelope.put(TYPE, kind.name);
        }
    }

    private static Map<String, Object> judgeProperties(Kind kind, Map<?, ?> properties, Outcome outcome) {
        Set<String> used = new HashSet<>();
        Map<String, Object> sent = taken(kind.properties, properties, used);
        Map<String, Object> found = new LinkedHashMap<>();
        properties.forEach((name, value) -> {
            if (value != null && !used.contains(name) && !kind.known.contains(name)) {
                found.put((String) name, value);
            }
        });
        outcome.unknownField |= !found.isEmpty();
        for (GameField field : kind.properties) {
            Object value = sent.get(field.name);
            if (value == null) {
                if (field.required) {
                    outcome.add(GameReason.MISSING_FIELD, field.path);
                }
                continue;
            }
            Object normal = field.check(value);
            if (normal instanceof GameReason) {
                outcome.add((GameReason) normal, field.path);
            } else {
                found.put(field.name, normal);
            }
        }
        return found;
    }

    private void finish(Map<String, Object> properties, Outcome outcome) {
        StringBuilder written = new StringBuilder();
        CanonicalJson.write(written, properties);
        outcome.properties = written.toString();
        Map<String, Object> digested = new LinkedHashMap<>();
        for (GameField field : envelope) {
            Object value = outcome.envelope.get(field.name);
            if (value != null && field.inDigest) {
                digested.put(field.name, value);
            }
        }
        digested.put("properties", new CanonicalJson.Written(outcome.properties));
        written.setLength(0);
        CanonicalJson.write(written, digested);
        outcome.digest = digits(sha256.digest(written.toString().getBytes(StandardCharsets.UTF_8)));
    }

    /** Of the bytes behind the number of the schema: a record that is sent again has the same. */
    private String derivedId(Kind kind, byte[] avro) {
        sha256.update(kind.name.getBytes(StandardCharsets.UTF_8));
        sha256.update((byte) 0);
        sha256.update(avro, AvroDocument.HEADER_BYTES, avro.length - AvroDocument.HEADER_BYTES);
        return "avro-" + digits(sha256.digest());
    }

    private static String digits(byte[] hash) {
        StringBuilder digits = new StringBuilder(2 * DIGEST_BYTES);
        for (int place = 0; place < DIGEST_BYTES; place++) {
            digits.append(Character.forDigit(hash[place] >> 4 & 15, 16)).append(Character.forDigit(hash[place] & 15, 16));
        }
        return digits.toString();
    }
}
