package gamestream;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The players who were erased, by salted hash (gamestream_dagster/events/suppression.py): their records give no event, and
 * the records of others name `erased-N`. The rule is that of gamestream_dagster/archive/erasing.py. Not safe to share
 * between threads.
 */
final class ErasedPlayers {
    /** The reason that stands for such a record. */
    static final String REASON = "ERASED";

    private static final int HASH_BYTES = 8;
    private static final int AVRO_HEADER = 5; // a zero byte and the id of the schema
    private static final String TEXT = "\"((?:[^\"\\\\]|\\\\.)*)\"";
    private static final Pattern NAMED = Pattern.compile(
            "\"(?:user_id|player_id|first_user_id|friend_user_id|friend_id|other_user_id)\"\\s*:\\s*" + TEXT);
    private static final Pattern OTHERS = Pattern.compile("(\"(?:friend_id|other_user_id)\":)" + TEXT);
    private static final Pattern APART = Pattern.compile("[\\s\"'`,;{}\\[\\]()<>]+");
    private static final Pattern AROUND = Pattern.compile("^['\"`.,:;!?()\\[\\]{}<>]+|['\"`.,:;!?()\\[\\]{}<>]+$");

    private final String salt;
    private final Map<String, String> requests = new HashMap<>();
    private final StrictJson json = new StrictJson(1, 1, 1);
    private final MessageDigest sha256;

    /** `listed`: the salt, a colon, and for each player the hash, `=` and the number of the request. */
    ErasedPlayers(String listed) {
        int colon = listed.indexOf(':');
        if (colon < 0) {
            throw new IllegalArgumentException("The list of erased players has no salt.");
        }
        salt = listed.substring(0, colon);
        for (String one : listed.substring(colon + 1).split(",")) {
            String[] parts = one.split("=", 2);
            if (parts.length != 2) {
                throw new IllegalArgumentException("An erased player is no hash with the number of a request.");
            }
            requests.put(parts[0], parts[1]);
        }
        try {
            sha256 = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }

    /** Whether a record is about an erased player: by its `user_id`, and where that cannot be read by its content. */
    boolean owns(GameJudge.Outcome outcome, byte[] message) {
        Object user = outcome.envelope.get("user_id");
        if (user != null) {
            return request(user.toString()) != null;
        }
        if (outcome.reason == null || message == null) {
            return false;
        }
        String content = new String(message, StandardCharsets.UTF_8);
        switch (outcome.reason) {
            case NOT_UTF8:
            case NOT_JSON:
            case NOT_AVRO:
                return anyAvroText(message) || anyWord(content);
            default:
                return anyAvroText(message) || anyField(content);
        }
    }

    /** Properties of an event with another name in place of each erased player. */
    String renamed(String properties) {
        if (properties == null || !(properties.contains("\"friend_id\"") || properties.contains("\"other_user_id\""))) {
            return properties;
        }
        return OTHERS.matcher(properties).replaceAll(found -> {
            String request = request(unescaped(found.group(2)));
            return Matcher.quoteReplacement(
                    request == null ? found.group() : found.group(1) + "\"erased-" + request + "\"");
        });
    }

    /** Whatever can be a text of Avro: a length, and as many bytes. */
    private boolean anyAvroText(byte[] message) {
        if (!AvroDocument.isFramed(message)) {
            return false;
        }
        for (int at = AVRO_HEADER; at < message.length; at++) {
            int length = message[at] & 0xff;
            int begin = at + 1;
            if (length >= 0x80) { // a length of two bytes: no id is longer
                if (begin == message.length || message[begin] < 0) {
                    continue;
                }
                length = length & 0x7f | message[begin] << 7;
                begin++;
            }
            int end = begin + length / 2;
            if (length % 2 == 0 && begin < end && end <= message.length
                    && request(new String(message, begin, end - begin, StandardCharsets.UTF_8)) != null) {
                return true;
            }
        }
        return false;
    }

    private boolean anyField(String content) {
        Matcher found = NAMED.matcher(content);
        while (found.find()) {
            if (request(unescaped(found.group(1))) != null) {
                return true;
            }
        }
        return false;
    }

    private boolean anyWord(String content) {
        for (String word : APART.split(content)) {
            if (!word.isEmpty()
                    && (request(word) != null || request(AROUND.matcher(word).replaceAll("")) != null)) {
                return true;
            }
        }
        return request(content) != null;
    }

    private String unescaped(String text) {
        if (text.indexOf('\\') < 0) {
            return text;
        }
        try {
            return (String) json.read(('"' + text + '"').getBytes(StandardCharsets.UTF_8));
        } catch (StrictJson.Refused error) {
            return text;
        }
    }

    private String request(String user) {
        byte[] digest = sha256.digest((salt + user).getBytes(StandardCharsets.UTF_8));
        StringBuilder hex = new StringBuilder(2 * HASH_BYTES);
        for (int at = 0; at < HASH_BYTES; at++) {
            hex.append(Character.forDigit(digest[at] >> 4 & 15, 16)).append(Character.forDigit(digest[at] & 15, 16));
        }
        return requests.get(hex.toString());
    }
}
