package gamestream;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.DateTimeException;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One field of the rules document: a value that is not absent to its normal form, or to the reason against it. */
final class GameField {
    private static final Pattern DECIMAL = Pattern.compile("-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?");
    private static final Pattern DIGITS = Pattern.compile("[0-9]+");
    private static final Pattern ISO = Pattern.compile(
            "([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\\.([0-9]{1,9}))?"
                    + "(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))");
    private static final int MAX_DIGITS = 15;
    private static final int MAX_HOUR = 23;
    private static final int MAX_MINUTE = 59;
    private static final int MILLIS_OF_MINUTE = 60_000;
    private static final int MILLIS_OF_SECOND = 1_000;

    final String name;
    final String path;
    final String[] names;
    final boolean required;
    final boolean inDigest;
    final boolean emptyIsAbsent;
    final String fallback;
    private final String type;
    private final int minLength;
    private final int maxLength;
    private final String alphabet;
    private final Set<String> values;
    private final BigDecimal minimum;
    private final BigDecimal maximum;
    private final int scale;
    private final int numberCharacters;
    private final long earliest;
    private final long latest;

    GameField(Map<?, ?> rules, String prefix, int numberCharacters, long earliest, long latest) {
        name = (String) rules.get("name");
        path = prefix + name;
        names = texts(rules.get("names")).toArray(new String[0]);
        type = (String) rules.get("type");
        required = rules.containsKey("required");
        inDigest = !rules.containsKey("in_digest");
        minLength = number(rules, "min_length", 0);
        maxLength = number(rules, "max_length", Integer.MAX_VALUE);
        emptyIsAbsent = !type.equals("string") || minLength > 0;
        alphabet = (String) rules.get("alphabet");
        values = rules.containsKey("values") ? new HashSet<>(texts(rules.get("values"))) : null;
        fallback = (String) rules.get("default");
        minimum = rules.containsKey("minimum") ? new BigDecimal((String) rules.get("minimum")) : null;
        maximum = rules.containsKey("maximum") ? new BigDecimal((String) rules.get("maximum")) : null;
        scale = number(rules, "scale", 0);
        this.numberCharacters = numberCharacters;
        this.earliest = earliest;
        this.latest = latest;
    }

    static List<String> texts(Object listed) {
        List<String> found = new ArrayList<>();
        if (listed != null) {
            ((List<?>) listed).forEach(one -> found.add((String) one));
        }
        return found;
    }

    private static int number(Map<?, ?> rules, String key, int otherwise) {
        Object found = rules.get(key);
        return found == null ? otherwise : ((Long) found).intValue();
    }

    boolean absent(Object value) {
        return value == null || (emptyIsAbsent && value.equals(""));
    }

    /** The normal form, or a `GameReason`. */
    Object check(Object value) {
        switch (type) {
            case "string":
                return value instanceof String ? string((String) value) : GameReason.WRONG_TYPE;
            case "integer":
                return integer(value);
            case "number":
                return value instanceof Number ? inside(value, value) : GameReason.WRONG_TYPE;
            case "decimal":
                return decimal(value);
            case "boolean":
                return value instanceof Boolean ? value : GameReason.WRONG_TYPE;
            case "time":
                return time(value);
            case "event_type":
                return isWord(value) ? value : GameReason.WRONG_TYPE;
            default:
                return value instanceof Map ? value : GameReason.WRONG_TYPE;
        }
    }

    /** What an event type may be written as. */
    static boolean isWord(Object value) {
        return value instanceof String || value instanceof Long || value instanceof BigInteger;
    }

    private Object string(String value) {
        if (values != null && !values.contains(value)) {
            return GameReason.OUT_OF_RANGE;
        }
        if (alphabet != null && value.codePoints().anyMatch(one -> alphabet.indexOf(one) < 0)) {
            return GameReason.OUT_OF_RANGE;
        }
        int length = value.codePointCount(0, value.length());
        if (length < minLength) {
            return GameReason.OUT_OF_RANGE;
        }
        return length > maxLength ? GameReason.TOO_LARGE : value;
    }

    private Object integer(Object value) {
        if (value instanceof BigInteger) {
            return GameReason.OUT_OF_RANGE;
        }
        return value instanceof Long ? inside(value, value) : GameReason.WRONG_TYPE;
    }

    private Object decimal(Object value) {
        Object number = value;
        if (value instanceof String) {
            if (!DECIMAL.matcher((String) value).matches()) {
                return GameReason.WRONG_TYPE;
            }
            if (((String) value).length() > numberCharacters) {
                return GameReason.OUT_OF_RANGE;
            }
            number = new BigDecimal((String) value);
        } else if (!(value instanceof Number)) {
            return GameReason.WRONG_TYPE;
        }
        BigDecimal exact = CanonicalJson.decimal(number);
        boolean tooFine = exact.stripTrailingZeros().scale() > scale;
        return tooFine ? GameReason.OUT_OF_RANGE : inside(exact, CanonicalJson.plainText(exact));
    }

    private Object inside(Object number, Object normal) {
        BigDecimal exact = CanonicalJson.decimal(number);
        boolean within = minimum.compareTo(exact) <= 0 && exact.compareTo(maximum) <= 0;
        return within ? normal : GameReason.OUT_OF_RANGE;
    }

    private Object time(Object value) {
        if (value instanceof BigInteger) {
            return GameReason.BAD_TIMESTAMP;
        }
        if (value instanceof Long) {
            return within((Long) value);
        }
        if (!(value instanceof String)) {
            return GameReason.WRONG_TYPE;
        }
        String text = (String) value;
        if (DIGITS.matcher(text).matches()) {
            String significant = text.replaceFirst("^0+", "");
            if (significant.length() > MAX_DIGITS) {
                return GameReason.BAD_TIMESTAMP;
            }
            return within(significant.isEmpty() ? 0 : Long.parseLong(significant));
        }
        Matcher found = ISO.matcher(text);
        return found.matches() ? iso(found) : GameReason.BAD_TIMESTAMP;
    }

    private Object iso(Matcher found) {
        int[] parts = new int[7];
        for (int group = 1; group < parts.length; group++) {
            parts[group] = Integer.parseInt(found.group(group));
        }
        long millis;
        try {
            LocalDateTime moment = LocalDateTime.of(parts[1], parts[2], parts[3], parts[4], parts[5], parts[6]);
            millis = moment.toEpochSecond(ZoneOffset.UTC) * MILLIS_OF_SECOND;
        } catch (DateTimeException error) {
            return GameReason.BAD_TIMESTAMP;
        }
        if (found.group(7) != null) {
            millis += Integer.parseInt((found.group(7) + "00").substring(0, 3));
        }
        if (found.group(8) == null) {
            int hours = Integer.parseInt(found.group(10));
            int minutes = Integer.parseInt(found.group(11));
            if (hours > MAX_HOUR || minutes > MAX_MINUTE) {
                return GameReason.BAD_TIMESTAMP;
            }
            long offset = (hours * 60L + minutes) * MILLIS_OF_MINUTE;
            millis += found.group(9).equals("+") ? -offset : offset;
        }
        return within(millis);
    }

    private Object within(long millis) {
        return earliest <= millis && millis <= latest ? (Object) millis : GameReason.BAD_TIMESTAMP;
    }
}
