package gamestream;

import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.Proxy;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonProcessingException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;

/**
 * Schemas of a Confluent-compatible registry by their number, with the schemas they refer to. A number that the registry
 * does not know, or that is no Avro schema, gives null; a registry that does not answer is an IOException, for that says
 * nothing about the record.
 */
final class SchemaLookup {
    private static final int CONNECT_MILLIS = 10_000;
    private static final int READ_MILLIS = 20_000;
    private static final int MAX_REFERENCES = 100;
    private static final int MAX_UNKNOWN = 1_000;
    private static final long UNKNOWN_MILLIS = 60_000; // after this an unknown number is asked for again
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String root;
    private final String authorization;
    private final Map<Integer, AvroShape> known = new LinkedHashMap<>();
    private final Map<Integer, Long> unknown = new LinkedHashMap<>();

    /** `login`: `user:password`, or empty. */
    SchemaLookup(String url, String login) {
        root = url.endsWith("/") ? url : url + "/";
        authorization = login.isEmpty()
                ? null
                : "Basic " + Base64.getEncoder().encodeToString(login.getBytes(StandardCharsets.UTF_8));
    }

    /** The schema; null when nothing that it wrote can be read. */
    AvroShape schema(int id) throws IOException {
        AvroShape found = known.get(id);
        if (found != null) {
            return found;
        }
        Long until = unknown.get(id);
        if (until != null && System.currentTimeMillis() < until) {
            return null;
        }
        found = fetch(id);
        if (found != null) {
            known.put(id, found);
            return found;
        }
        if (unknown.size() >= MAX_UNKNOWN) {
            unknown.clear();
        }
        unknown.put(id, System.currentTimeMillis() + UNKNOWN_MILLIS);
        return null;
    }

    private AvroShape fetch(int id) throws IOException {
        JsonNode answer = get("schemas/ids/" + id);
        try {
            Map<String, AvroShape> named = AvroShape.noNames();
            return answer == null ? null : shape(answer, named, new HashSet<>());
        } catch (AvroShape.UnusableSchema | JsonProcessingException error) {
            return null;
        }
    }

    private AvroShape shape(JsonNode answer, Map<String, AvroShape> named, Set<String> seen)
            throws IOException, AvroShape.UnusableSchema {
        JsonNode type = answer.get("schemaType");
        JsonNode text = answer.get("schema");
        if (text == null || type != null && type.isTextual() && !type.asText().equals("AVRO")) {
            throw new AvroShape.UnusableSchema("not an Avro schema");
        }
        JsonNode references = answer.get("references");
        if (references != null && references.isArray()) {
            for (JsonNode reference : references) {
                follow(reference, named, seen);
            }
        }
        return AvroShape.of(JSON.readTree(text.asText()), named);
    }

    private void follow(JsonNode reference, Map<String, AvroShape> named, Set<String> seen)
            throws IOException, AvroShape.UnusableSchema {
        String subject = URLEncoder.encode(reference.path("subject").asText(), StandardCharsets.UTF_8)
                .replace("+", "%20");
        String path = "subjects/" + subject + "/versions/" + reference.path("version").asText();
        if (!seen.add(path)) {
            return;
        }
        JsonNode answer = seen.size() > MAX_REFERENCES ? null : get(path);
        if (answer == null) {
            throw new AvroShape.UnusableSchema("a schema that it refers to is missing");
        }
        shape(answer, named, seen);
    }

    /** The answer; null for 404. */
    private JsonNode get(String path) throws IOException {
        HttpURLConnection connection =
                (HttpURLConnection) URI.create(root + path).toURL().openConnection(Proxy.NO_PROXY);
        connection.setConnectTimeout(CONNECT_MILLIS);
        connection.setReadTimeout(READ_MILLIS);
        connection.setRequestProperty("Accept", "application/vnd.schemaregistry.v1+json, application/json");
        if (authorization != null) {
            connection.setRequestProperty("Authorization", authorization);
        }
        try {
            int status = connection.getResponseCode();
            if (status == 404) {
                return null;
            }
            if (status != 200) {
                throw new IOException("the schema registry at " + root + " answered " + status + " to " + path);
            }
            try (InputStream body = connection.getInputStream()) {
                return JSON.readTree(body);
            } catch (JsonProcessingException error) {
                throw new IOException("the schema registry at " + root + " does not answer in JSON", error);
            }
        } finally {
            connection.disconnect();
        }
    }
}
