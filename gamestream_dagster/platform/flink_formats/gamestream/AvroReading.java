package gamestream;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.UUID;

/**
 * Reads one Avro record by its writer's schema into the columns of a table: texts as UTF-8 bytes, numbers as long, null
 * for what is absent or has another type. The same rules are in gamestream_dagster/events/avro_reading.py.
 */
final class AvroReading {
    /** The bytes are no record of the schema. */
    static final class NotAvro extends Exception {
        NotAvro(String message) {
            super(message, null, false, false); // one for each bad record: without a stack trace
        }
    }

    private final byte[] data;
    private int at;

    /** Bytes that are not read yet. */
    int left() {
        return data.length - at;
    }

    AvroReading(byte[] data, int at) {
        this.data = data;
        this.at = at;
    }

    /**
     * @param places for each field of the writer's record the column it fills, or -1
     * @param numbers for each column whether it is a BIGINT
     */
    static Object[] read(byte[] data, int from, AvroShape shape, Places places, boolean[] numbers) throws NotAvro {
        AvroReading reading = new AvroReading(data, from);
        AvroShape record = shape.kind == AvroShape.Kind.UNION ? shape.parts[reading.branch(shape)] : shape;
        if (record.kind != AvroShape.Kind.RECORD) {
            throw new NotAvro("not a record");
        }
        int[] columns = places.of(record);
        Object[] row = new Object[numbers.length];
        for (int field = 0; field < columns.length; field++) {
            int column = columns[field];
            if (column < 0) {
                reading.skip(record.parts[field], 1);
            } else {
                String logical = record.fieldLogicalTypes[field];
                row[column] = reading.value(record.parts[field], logical, numbers[column], 1);
            }
        }
        if (reading.at != data.length) {
            throw new NotAvro("bytes follow the record");
        }
        return row;
    }

    /** Which column each field of a writer's record fills. */
    interface Places {
        int[] of(AvroShape record);
    }

    private Object value(AvroShape shape, String fieldLogical, boolean number, int depth) throws NotAvro {
        String logical = shape.logicalType.isEmpty() ? fieldLogical : shape.logicalType;
        switch (shape.kind) {
            case UNION:
                checkDepth(depth);
                return value(shape.parts[branch(shape)], fieldLogical, number, depth + 1);
            case INT:
                long small = varint();
                if (small != (int) small) {
                    throw new NotAvro("an int has more than 32 bits");
                }
                return number ? (Object) small : ascii(Long.toString(small));
            case LONG:
                long large = varint();
                return number ? (Object) inMillis(large, logical) : ascii(Long.toString(large));
            case STRING:
                return ofText(bytes(), number);
            case BYTES:
                byte[] raw = bytes();
                return logical.equals("decimal") ? null : ofText(raw, number);
            case ENUM:
                byte[] symbol = symbol(shape);
                return number ? null : symbol;
            case FIXED:
                byte[] fixed = take(shape.size);
                return number || shape.size != 16 || !logical.equals("uuid") ? null : uuid(fixed);
            default:
                skip(shape, depth);
                return null;
        }
    }

    private void skip(AvroShape shape, int depth) throws NotAvro {
        switch (shape.kind) {
            case NULL:
                return;
            case BOOLEAN:
                move(1);
                return;
            case INT:
            case LONG:
                varint();
                return;
            case FLOAT:
                move(4);
                return;
            case DOUBLE:
                move(8);
                return;
            case BYTES:
            case STRING:
                move(varint());
                return;
            case FIXED:
                move(shape.size);
                return;
            case ENUM:
                symbol(shape);
                return;
            case UNION:
                checkDepth(depth);
                skip(shape.parts[branch(shape)], depth + 1);
                return;
            case RECORD:
                if (shape.takesNoBytes()) {
                    return; // records of records of nulls: twice as many at each depth
                }
                checkDepth(depth);
                for (AvroShape part : shape.parts) {
                    skip(part, depth + 1);
                }
                return;
            default:
                checkDepth(depth);
                skipItems(shape, depth);
        }
    }

    private void skipItems(AvroShape shape, int depth) throws NotAvro {
        for (long count = varint(); count != 0; count = varint()) {
            if (count < 0) {
                count = -count;
                varint(); // the block's size in bytes
            }
            // fewer bytes than items: also what an endless array of nulls would be
            if (count < 0 || count > data.length - at) {
                throw new NotAvro("a block has more items than bytes");
            }
            if (shape.kind == AvroShape.Kind.ARRAY && shape.parts[0].takesNoBytes()) {
                continue; // many small blocks of many such items would take for ever
            }
            for (long item = 0; item < count; item++) {
                if (shape.kind == AvroShape.Kind.MAP) {
                    move(varint());
                }
                skip(shape.parts[0], depth + 1);
            }
        }
    }

    private static void checkDepth(int depth) throws NotAvro {
        if (depth > AvroShape.MAX_DEPTH) {
            throw new NotAvro("nested too deeply");
        }
    }

    int branch(AvroShape shape) throws NotAvro {
        long branch = varint();
        if (branch < 0 || branch >= shape.parts.length) {
            throw new NotAvro("no such branch");
        }
        return (int) branch;
    }

    byte[] symbol(AvroShape shape) throws NotAvro {
        long place = varint();
        if (place < 0 || place >= shape.symbols.length) {
            throw new NotAvro("no such symbol");
        }
        return shape.symbols[(int) place];
    }

    long varint() throws NotAvro {
        long found = 0;
        for (int shift = 0; shift < 70; shift += 7) {
            if (at >= data.length) {
                throw new NotAvro("cut short");
            }
            byte next = data[at++];
            found |= (long) (next & 0x7f) << shift;
            if (next >= 0) {
                return (found >>> 1) ^ -(found & 1);
            }
        }
        throw new NotAvro("a number has more than ten bytes");
    }

    byte[] bytes() throws NotAvro {
        return take(varint());
    }

    byte[] take(long length) throws NotAvro {
        int from = at;
        move(length);
        return java.util.Arrays.copyOfRange(data, from, at);
    }

    void move(long length) throws NotAvro {
        if (length < 0 || length > data.length - at) {
            throw new NotAvro("cut short");
        }
        at += (int) length;
    }

    static long inMillis(long value, String logical) {
        switch (logical) {
            case "timestamp-micros":
            case "local-timestamp-micros":
                return Math.floorDiv(value, 1_000L);
            case "timestamp-nanos":
            case "local-timestamp-nanos":
                return Math.floorDiv(value, 1_000_000L);
            default:
                return value;
        }
    }

    private static Object ofText(byte[] text, boolean number) throws NotAvro {
        if (!isUtf8(text)) {
            throw new NotAvro("a text is not UTF-8");
        }
        return number ? wholeNumber(text) : text;
    }

    /** The canonical text of a 64-bit integer as a number; null for every other text. */
    private static Long wholeNumber(byte[] text) {
        if (text.length == 0 || text.length > 20) {
            return null;
        }
        String digits = new String(text, StandardCharsets.UTF_8);
        try {
            long found = Long.parseLong(digits);
            return Long.toString(found).equals(digits) ? found : null;
        } catch (NumberFormatException error) {
            return null;
        }
    }

    private static boolean isUtf8(byte[] text) {
        int place = 0;
        while (place < text.length && text[place] >= 0) {
            place++;
        }
        if (place == text.length) {
            return true;
        }
        try {
            StandardCharsets.UTF_8.newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT)
                    .decode(ByteBuffer.wrap(text, place, text.length - place));
            return true;
        } catch (CharacterCodingException error) {
            return false;
        }
    }

    private static byte[] uuid(byte[] raw) {
        ByteBuffer buffer = ByteBuffer.wrap(raw);
        return ascii(new UUID(buffer.getLong(), buffer.getLong()).toString());
    }

    private static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }
}
