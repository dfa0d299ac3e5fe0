package gamestream;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.math.RoundingMode;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/**
 * One Avro record as a document, such as `StrictJson` gives it: catalogue/game_rules.py states the rules,
 * events/avro_document.py is the same in Python.
 */
final class AvroDocument {
    /** A text is not UTF-8. */
    static final class NotUtf8 extends Exception {
        private static final long serialVersionUID = 1L;

        NotUtf8() {
            super(null, null, false, false);
        }
    }

    static final int HEADER_BYTES = 5;
    private static final int FLOAT_DIGITS = 6; // that each float keeps; three more tell it from all others
    private static final int DOUBLE_DIGITS = 15; // two more

    private final AvroReading reading;
    private final int maxDepth;
    private final int numberCharacters;
    private final int numberExponent;

    AvroDocument(byte[] value, int maxDepth, int numberCharacters, int numberExponent) {
        reading = new AvroReading(value, HEADER_BYTES);
        this.maxDepth = maxDepth;
        this.numberCharacters = numberCharacters;
        this.numberExponent = numberExponent;
    }

    /** Whether a record is in the Confluent wire format. No JSON text begins with a zero byte. */
    static boolean isFramed(byte[] value) {
        return value != null && value.length >= HEADER_BYTES && value[0] == 0;
    }

    static int schemaOf(byte[] value) {
        return ByteBuffer.wrap(value, 1, HEADER_BYTES - 1).getInt();
    }

    /** The whole value; `typeName` gets the name of its record. */
    Map<String, Object> read(AvroShape shape, StringBuilder typeName) throws AvroReading.NotAvro, NotUtf8 {
        AvroShape record = shape.kind == AvroShape.Kind.UNION ? shape.parts[reading.branch(shape)] : shape;
        if (record.kind != AvroShape.Kind.RECORD) {
            throw new AvroReading.NotAvro("not a record");
        }
        typeName.append(record.fullName.substring(record.fullName.lastIndexOf('.') + 1));
        Map<String, Object> document = record(record, 1);
        if (reading.left() != 0) {
            throw new AvroReading.NotAvro("bytes follow the record");
        }
        return document;
    }

    /** Fields that take no bytes are left out: they are nulls, and a few bytes could hold any number of them. */
    private Map<String, Object> record(AvroShape shape, int depth) throws AvroReading.NotAvro, NotUtf8 {
        checkDepth(depth);
        Map<String, Object> found = new LinkedHashMap<>();
        for (int field = 0; field < shape.parts.length; field++) {
            if (!shape.parts[field].takesNoBytes()) {
                found.put(shape.names[field], value(shape.parts[field], depth, shape.fieldLogicalTypes[field]));
            }
        }
        return found;
    }

    private Object value(AvroShape shape, int depth, String fieldLogical) throws AvroReading.NotAvro, NotUtf8 {
        String logical = shape.logicalType.isEmpty() ? fieldLogical : shape.logicalType;
        switch (shape.kind) {
            case NULL:
                return null;
            case BOOLEAN:
                return reading.take(1)[0] != 0;
            case INT:
                long small = reading.varint();
                if (small != (int) small) {
                    throw new AvroReading.NotAvro("an int has more than 32 bits");
                }
                return small;
            case LONG:
                return AvroReading.inMillis(reading.varint(), logical);
            case FLOAT:
                int bits = Integer.reverseBytes(ByteBuffer.wrap(reading.take(4)).getInt());
                return real(Float.intBitsToFloat(bits), true);
            case DOUBLE:
                long wide = Long.reverseBytes(ByteBuffer.wrap(reading.take(8)).getLong());
                return real(Double.longBitsToDouble(wide), false);
            case STRING:
            case BYTES:
                byte[] raw = reading.bytes();
                return logical.equals("decimal") ? decimal(raw, shape.scale) : text(raw);
            case FIXED:
                return fixed(reading.take(shape.size), shape, logical);
            case ENUM:
                return new String(reading.symbol(shape), StandardCharsets.UTF_8);
            case UNION:
                AvroShape part = shape.parts[reading.branch(shape)];
                return part.takesNoBytes() ? null : value(part, depth, fieldLogical);
            case RECORD:
                return record(shape, depth + 1);
            default:
                checkDepth(depth + 1);
                return items(shape, depth + 1);
        }
    }

    private Object items(AvroShape shape, int depth) throws AvroReading.NotAvro, NotUtf8 {
        List<Object> items = new ArrayList<>();
        Map<String, Object> named = new LinkedHashMap<>();
        boolean isArray = shape.kind == AvroShape.Kind.ARRAY;
        AvroShape part = shape.parts[0];
        for (long count = reading.varint(); count != 0; count = reading.varint()) {
            if (count < 0) {
                count = -count;
                reading.varint(); // the block's size in bytes
            }
            if (count < 0 || count > reading.left()) {
                throw new AvroReading.NotAvro("a block has more items than bytes");
            }
            if (isArray && part.takesNoBytes()) {
                continue;
            }
            for (long item = 0; item < count; item++) {
                if (isArray) {
                    items.add(value(part, depth, ""));
                } else {
                    String name = text(reading.bytes());
                    named.put(name, part.takesNoBytes() ? null : value(part, depth, ""));
                }
            }
        }
        return isArray ? items : named;
    }

    private BigDecimal real(double number, boolean isFloat) throws AvroReading.NotAvro {
        double size = Math.abs(number);
        if (Double.isNaN(number) || Double.isInfinite(number) || (size > 0 && size < Math.pow(10, -numberExponent))) {
            throw new AvroReading.NotAvro("a number is NaN, infinite, or has too large an exponent");
        }
        BigDecimal exact = new BigDecimal(number);
        // as many digits as tell it from its neighbours; `Double.toString` differs between versions of Java
        for (int digits = isFloat ? FLOAT_DIGITS : DOUBLE_DIGITS; ; digits++) {
            BigDecimal found = exact.round(new MathContext(digits, RoundingMode.HALF_EVEN));
            double back = Double.parseDouble(found.toString());
            if ((isFloat ? (float) back : back) == number) {
                return found;
            }
        }
    }

    private Object fixed(byte[] raw, AvroShape shape, String logical) throws AvroReading.NotAvro {
        if (logical.equals("decimal")) {
            return decimal(raw, shape.scale);
        }
        if (!logical.equals("uuid") || raw.length != 16) {
            return null;
        }
        ByteBuffer buffer = ByteBuffer.wrap(raw);
        return new UUID(buffer.getLong(), buffer.getLong()).toString();
    }

    private Object decimal(byte[] raw, int scale) throws AvroReading.NotAvro {
        if (raw.length > numberCharacters) {
            throw new AvroReading.NotAvro("a number has too many characters");
        }
        BigInteger unscaled = raw.length == 0 ? BigInteger.ZERO : new BigInteger(raw);
        if (unscaled.toString().length() > numberCharacters) {
            throw new AvroReading.NotAvro("a number has too many characters");
        }
        if (scale < 0 || scale > numberExponent) {
            throw new AvroReading.NotAvro("a decimal has no usable scale");
        }
        if (scale > 0) {
            return new BigDecimal(unscaled, scale);
        }
        return unscaled.bitLength() < Long.SIZE ? (Object) unscaled.longValue() : unscaled;
    }

    private void checkDepth(int depth) throws AvroReading.NotAvro {
        if (depth > maxDepth) {
            throw new AvroReading.NotAvro("nested too deeply");
        }
    }

    private static String text(byte[] raw) throws NotUtf8 {
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT)
                    .decode(ByteBuffer.wrap(raw))
                    .toString();
        } catch (CharacterCodingException error) {
            throw new NotUtf8();
        }
    }
}
