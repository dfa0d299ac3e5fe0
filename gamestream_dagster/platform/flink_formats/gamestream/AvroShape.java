package gamestream;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/**
 * The writer's Avro schema, reduced to what reading needs. The same rules are in gamestream_dagster/events/avro_shape.py;
 * a test runs both over the same records.
 */
final class AvroShape {
    enum Kind {
        NULL, BOOLEAN, INT, LONG, FLOAT, DOUBLE, BYTES, STRING, FIXED, ENUM, ARRAY, MAP, UNION, RECORD
    }

    /** The schema is no Avro schema: nothing written with it can be read. */
    static final class UnusableSchema extends Exception {
        UnusableSchema(String message) {
            super(message);
        }
    }

    static final int MAX_DEPTH = 64;
    private static final Map<String, Kind> PRIMITIVES = Map.of(
            "null", Kind.NULL, "boolean", Kind.BOOLEAN, "int", Kind.INT, "long", Kind.LONG, "float", Kind.FLOAT,
            "double", Kind.DOUBLE, "bytes", Kind.BYTES, "string", Kind.STRING);

    Kind kind;
    String logicalType = "";
    int size; // of a fixed
    int scale; // of a decimal; -1: the schema's is none
    String fullName = ""; // of a record, with its namespace
    byte[][] symbols = {}; // of an enum, UTF-8
    String[] names = {}; // of a record's fields
    String[] fieldLogicalTypes = {}; // some producers put the logical type beside the field's type
    AvroShape[] parts = {}; // fields, branches, or the items of an array or a map

    private Boolean noBytes;

    /** Whether no value is written with a byte: nulls, and records of nothing else. */
    boolean takesNoBytes() {
        if (noBytes == null) {
            noBytes = false; // a record that holds itself never ends
            boolean found = kind == Kind.NULL || (kind == Kind.FIXED && size == 0);
            if (kind == Kind.RECORD) {
                found = true;
                for (AvroShape part : parts) {
                    found = found && part.takesNoBytes();
                }
            }
            noBytes = found;
        }
        return noBytes;
    }

    private AvroShape(Kind kind) {
        this.kind = kind;
    }

    static AvroShape of(JsonNode schema, Map<String, AvroShape> named) throws UnusableSchema {
        return of(schema, "", named, 0);
    }

    static Map<String, AvroShape> noNames() {
        return new HashMap<>();
    }

    private static AvroShape of(JsonNode schema, String space, Map<String, AvroShape> named, int depth)
            throws UnusableSchema {
        if (schema == null || depth > MAX_DEPTH) {
            throw new UnusableSchema("a type is missing or nested too deeply");
        }
        if (schema.isTextual()) {
            return byName(schema.asText(), space, named);
        }
        if (schema.isArray()) {
            AvroShape union = new AvroShape(Kind.UNION);
            union.parts = all(schema, space, named, depth);
            return union;
        }
        JsonNode type = schema.get("type");
        if (type == null || !type.isTextual()) {
            return of(type, space, named, depth + 1);
        }
        switch (type.asText()) {
            case "record":
            case "error":
                return record(schema, space, named, depth);
            case "enum":
                return enumeration(schema, space, named);
            case "fixed":
                return fixed(schema, space, named);
            case "array":
                return container(Kind.ARRAY, schema.get("items"), space, named, depth);
            case "map":
                return container(Kind.MAP, schema.get("values"), space, named, depth);
            default:
                AvroShape found = byName(type.asText(), space, named);
                if (PRIMITIVES.containsKey(type.asText())) {
                    found.logicalType = text(schema, "logicalType");
                    found.scale = scale(schema);
                }
                return found;
        }
    }

    private static AvroShape byName(String name, String space, Map<String, AvroShape> named) throws UnusableSchema {
        if (PRIMITIVES.containsKey(name)) {
            return new AvroShape(PRIMITIVES.get(name));
        }
        AvroShape found = named.get(name.contains(".") || space.isEmpty() ? name : space + "." + name);
        found = found == null ? named.get(name) : found;
        if (found == null) {
            throw new UnusableSchema("no type has the name " + name);
        }
        return found;
    }

    private static AvroShape[] all(JsonNode list, String space, Map<String, AvroShape> named, int depth)
            throws UnusableSchema {
        List<AvroShape> found = new ArrayList<>();
        for (JsonNode one : list) {
            found.add(of(one, space, named, depth + 1));
        }
        return found.toArray(new AvroShape[0]);
    }

    private static AvroShape container(
            Kind kind, JsonNode item, String space, Map<String, AvroShape> named, int depth) throws UnusableSchema {
        AvroShape shape = new AvroShape(kind);
        shape.parts = new AvroShape[] {of(item, space, named, depth + 1)};
        return shape;
    }

    private static AvroShape record(JsonNode schema, String space, Map<String, AvroShape> named, int depth)
            throws UnusableSchema {
        AvroShape shape = new AvroShape(Kind.RECORD);
        String name = fullName(schema, space);
        shape.fullName = name;
        named.put(name, shape); // before its fields: they may name it
        String inner = name.contains(".") ? name.substring(0, name.lastIndexOf('.')) : "";
        JsonNode fields = schema.get("fields");
        if (fields == null || !fields.isArray()) {
            throw new UnusableSchema("a record has no fields");
        }
        List<String> names = new ArrayList<>();
        List<String> logical = new ArrayList<>();
        List<AvroShape> types = new ArrayList<>();
        for (JsonNode field : fields) {
            names.add(text(field, "name"));
            logical.add(text(field, "logicalType"));
            types.add(of(field.get("type"), inner, named, depth + 1));
        }
        shape.names = names.toArray(new String[0]);
        shape.fieldLogicalTypes = logical.toArray(new String[0]);
        shape.parts = types.toArray(new AvroShape[0]);
        return shape;
    }

    private static AvroShape enumeration(JsonNode schema, String space, Map<String, AvroShape> named)
            throws UnusableSchema {
        AvroShape shape = new AvroShape(Kind.ENUM);
        List<byte[]> symbols = new ArrayList<>();
        JsonNode listed = schema.get("symbols");
        if (listed == null || !listed.isArray()) {
            throw new UnusableSchema("an enum has no symbols");
        }
        for (JsonNode symbol : listed) {
            symbols.add(symbol.asText().getBytes(java.nio.charset.StandardCharsets.UTF_8));
        }
        shape.symbols = symbols.toArray(new byte[0][]);
        named.put(fullName(schema, space), shape);
        return shape;
    }

    private static AvroShape fixed(JsonNode schema, String space, Map<String, AvroShape> named) throws UnusableSchema {
        AvroShape shape = new AvroShape(Kind.FIXED);
        JsonNode size = schema.get("size");
        if (size == null || !size.isInt() || size.asInt() < 0) {
            throw new UnusableSchema("a fixed has no size");
        }
        shape.size = size.asInt();
        shape.logicalType = text(schema, "logicalType");
        shape.scale = scale(schema);
        named.put(fullName(schema, space), shape);
        return shape;
    }

    private static int scale(JsonNode schema) {
        JsonNode found = schema.get("scale");
        return found == null ? 0 : found.isInt() && found.asInt() >= 0 ? found.asInt() : -1;
    }

    private static String fullName(JsonNode schema, String space) throws UnusableSchema {
        String name = text(schema, "name");
        if (name.isEmpty()) {
            throw new UnusableSchema("a type has no name");
        }
        if (name.contains(".")) {
            return name;
        }
        String given = schema.has("namespace") ? text(schema, "namespace") : space;
        return given.isEmpty() ? name : given + "." + name;
    }

    private static String text(JsonNode node, String name) {
        JsonNode found = node.get(name);
        return found == null || !found.isTextual() ? "" : found.asText();
    }
}
