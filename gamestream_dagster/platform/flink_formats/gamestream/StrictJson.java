package gamestream;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads strict JSON: catalogue/game_rules.py states what that is, events/strict_json.py is the same in Python.
 * Values: String, Long, BigInteger (beyond 64 bits), BigDecimal, Boolean, null, List, Map in the order of the text.
 */
final class StrictJson {
    /** The bytes are not UTF-8, or not strict JSON. Without a stack trace: it is an outcome, not a fault. */
    static final class Refused extends Exception {
        private static final long serialVersionUID = 1L;
        final boolean utf8;

        Refused(boolean utf8) {
            super(null, null, false, false);
            this.utf8 = utf8;
        }
    }

    private static final int SURE_DIGITS = 18;
    private static final Refused NOT_UTF8 = new Refused(false);
    private static final Refused NOT_JSON = new Refused(true);

    private final CharsetDecoder decoder = StandardCharsets.UTF_8
            .newDecoder()
            .onMalformedInput(CodingErrorAction.REPORT)
            .onUnmappableCharacter(CodingErrorAction.REPORT);
    private final int maxDepth;
    private final int numberCharacters;
    private final int numberExponent;
    private String text;
    private int at;

    StrictJson(int maxDepth, int numberCharacters, int numberExponent) {
        this.maxDepth = maxDepth;
        this.numberCharacters = numberCharacters;
        this.numberExponent = numberExponent;
    }

    /** One JSON value with nothing but white space around it. */
    Object read(byte[] value) throws Refused {
        if (value == null || value.length == 0) {
            throw NOT_JSON;
        }
        try {
            text = decoder.reset().decode(ByteBuffer.wrap(value)).toString();
        } catch (CharacterCodingException error) {
            throw NOT_UTF8;
        }
        at = 0;
        Object document = value(1);
        space();
        if (at < text.length()) {
            throw NOT_JSON;
        }
        return document;
    }

    private Object value(int depth) throws Refused {
        space();
        switch (peek()) {
            case '{':
                return object(depth);
            case '[':
                return array(depth);
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object(int depth) throws Refused {
        enter(depth);
        Map<String, Object> found = new LinkedHashMap<>();
        space();
        if (peek() == '}') {
            at++;
            return found;
        }
        do {
            space();
            if (peek() != '"') {
                throw NOT_JSON;
            }
            String name = string();
            space();
            if (peek() != ':') {
                throw NOT_JSON;
            }
            at++;
            Object part = value(depth + 1);
            if (found.containsKey(name)) {
                throw NOT_JSON;
            }
            found.put(name, part);
        } while (more('}'));
        return found;
    }

    private List<Object> array(int depth) throws Refused {
        enter(depth);
        List<Object> found = new ArrayList<>();
        space();
        if (peek() == ']') {
            at++;
            return found;
        }
        do {
            found.add(value(depth + 1));
        } while (more(']'));
        return found;
    }

    private void enter(int depth) throws Refused {
        if (depth > maxDepth) {
            throw NOT_JSON;
        }
        at++;
    }

    private boolean more(char end) throws Refused {
        space();
        char found = peek();
        at++;
        if (found != ',' && found != end) {
            throw NOT_JSON;
        }
        return found == ',';
    }

    private String string() throws Refused {
        int start = ++at;
        while (at < text.length()) {
            char found = text.charAt(at);
            if (found == '"') {
                return text.substring(start, at++);
            }
            if (found == '\\') {
                return escaped(start);
            }
            if (found < ' ') {
                throw NOT_JSON;
            }
            at++;
        }
        throw NOT_JSON;
    }

    private String escaped(int start) throws Refused {
        StringBuilder made = new StringBuilder(at - start + 64).append(text, start, at);
        while (at < text.length()) {
            char found = text.charAt(at++);
            if (found == '"') {
                return made.toString();
            }
            if (found < ' ') {
                throw NOT_JSON;
            }
            made.append(found == '\\' ? escape() : found);
        }
        throw NOT_JSON;
    }

    private char escape() throws Refused {
        char kind = peek();
        at++;
        switch (kind) {
            case '"':
            case '\\':
            case '/':
                return kind;
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u':
                return unit();
            default:
                throw NOT_JSON;
        }
    }

    private char unit() throws Refused {
        int unit = 0;
        for (int digit = 0; digit < 4; digit++) {
            char found = peek();
            int worth = found < 128 ? Character.digit(found, 16) : -1;
            if (worth < 0) {
                throw NOT_JSON;
            }
            unit = unit * 16 + worth;
            at++;
        }
        return (char) unit;
    }

    private Object word(String word, Object worth) throws Refused {
        if (!text.startsWith(word, at)) {
            throw NOT_JSON;
        }
        at += word.length();
        return worth;
    }

    private Object number() throws Refused {
        int start = at;
        if (peek() == '-') {
            at++;
        }
        if (peek() == '0') {
            at++;
        } else {
            digits();
        }
        boolean whole = true;
        if (at < text.length() && text.charAt(at) == '.') {
            at++;
            digits();
            whole = false;
        }
        int exponent = at;
        if (at < text.length() && (text.charAt(at) == 'e' || text.charAt(at) == 'E')) {
            at++;
            if (peek() == '+' || peek() == '-') {
                at++;
            }
            digits();
            whole = false;
        }
        if (at - start > numberCharacters) {
            throw NOT_JSON;
        }
        String found = text.substring(start, at);
        if (whole) {
            return whole(found);
        }
        if (exponent < at) {
            BigInteger power = new BigInteger(text.substring(exponent + 1, at));
            if (power.abs().compareTo(BigInteger.valueOf(numberExponent)) > 0) {
                throw NOT_JSON;
            }
        }
        return new BigDecimal(found);
    }

    private static Object whole(String found) {
        if (found.length() <= SURE_DIGITS) {
            return Long.valueOf(found);
        }
        BigInteger number = new BigInteger(found);
        return number.bitLength() < Long.SIZE ? (Object) number.longValue() : number;
    }

    private void digits() throws Refused {
        int start = at;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        if (at == start) {
            throw NOT_JSON;
        }
    }

    private void space() {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() throws Refused {
        if (at >= text.length()) {
            throw NOT_JSON;
        }
        return text.charAt(at);
    }
}
