package gamestream;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/** The canonical form of what `StrictJson` reads: catalogue/game_rules.py states it. */
final class CanonicalJson {
    /** Canonical JSON that was made before. */
    static final class Written {
        final String text;

        Written(String text) {
            this.text = text;
        }
    }

    private static final int PLAIN_DIGITS = 21;

    /** By code points: Java's own order of texts is by UTF-16 units. */
    private static final Comparator<String> BY_CODE_POINT = (one, other) -> {
        int length = Math.min(one.length(), other.length());
        for (int place = 0; place < length; place++) {
            char mine = one.charAt(place);
            char its = other.charAt(place);
            if (mine != its) {
                boolean half = Character.isSurrogate(mine);
                return half == Character.isSurrogate(its) ? Character.compare(mine, its) : half ? 1 : -1;
            }
        }
        return Integer.compare(one.length(), other.length());
    };

    private CanonicalJson() {}

    /** Canonical JSON of a value whose texts have no unpaired surrogate. */
    static void write(StringBuilder into, Object value) {
        if (value instanceof String) {
            writeText(into, (String) value);
        } else if (value instanceof Map) {
            writeObject(into, (Map<?, ?>) value);
        } else if (value instanceof List) {
            writeArray(into, (List<?>) value);
        } else if (value instanceof BigDecimal || value instanceof BigInteger) {
            into.append(numberText(decimal(value)));
        } else if (value instanceof Written) {
            into.append(((Written) value).text);
        } else {
            into.append(value);
        }
    }

    private static void writeArray(StringBuilder into, List<?> array) {
        into.append('[');
        for (int place = 0; place < array.size(); place++) {
            if (place > 0) {
                into.append(',');
            }
            write(into, array.get(place));
        }
        into.append(']');
    }

    private static void writeObject(StringBuilder into, Map<?, ?> object) {
        List<String> names = new ArrayList<>(object.size());
        object.keySet().forEach(name -> names.add((String) name));
        names.sort(BY_CODE_POINT);
        into.append('{');
        for (int place = 0; place < names.size(); place++) {
            if (place > 0) {
                into.append(',');
            }
            String name = names.get(place);
            writeText(into, name);
            write(into.append(':'), object.get(name));
        }
        into.append('}');
    }

    private static void writeText(StringBuilder into, String value) {
        into.append('"');
        for (int place = 0; place < value.length(); place++) {
            char found = value.charAt(place);
            int known = "\"\\\b\t\n\f\r".indexOf(found);
            if (known >= 0) {
                into.append('\\').append("\"\\btnfr".charAt(known));
            } else if (found < ' ') {
                into.append(String.format("\\u%04x", (int) found));
            } else {
                into.append(found);
            }
        }
        into.append('"');
    }

    /** A number of any kind as an exact decimal. */
    static BigDecimal decimal(Object number) {
        if (number instanceof BigDecimal) {
            return (BigDecimal) number;
        }
        return number instanceof BigInteger ? new BigDecimal((BigInteger) number) : BigDecimal.valueOf((Long) number);
    }

    private static String numberText(BigDecimal number) {
        BigDecimal stripped = number.stripTrailingZeros();
        boolean plain = stripped.scale() <= 0 && stripped.precision() - stripped.scale() <= PLAIN_DIGITS;
        return plain ? stripped.toPlainString() : stripped.toString();
    }

    /** The same without an exponent. */
    static String plainText(BigDecimal number) {
        return number.stripTrailingZeros().toPlainString();
    }
}
