package gamestream;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads log lines as `security/lines.py` does, by the patterns of `security/patterns.py`. */
final class LogLine {
    private static final String OTHER = "other";
    private static final String UNKNOWN_HOST = "unknown";
    private static final int JSON_DEPTH = 16;
    private static final int JSON_NUMBER = 40;
    private static final long LATEST_MS = 253_402_300_799_999L;
    private static final BigDecimal SECONDS_BELOW = BigDecimal.valueOf(100_000_000_000L);
    private static final long DAY_MS = 86_400_000L;
    private static final int LAST_YEAR = 9999;
    private static final int YEARS_BACK = 4;
    private static final List<String> MONTHS = List.of(
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec");
    private static final Pattern PID = Pattern.compile("[0-9]{1,10}");

    /** What a record says. `reason`: why it could not be read. */
    static final class Told {
        String reason;
        String host = UNKNOWN_HOST;
        String program;
        String pid = "";
        String message;
        String kind = OTHER;
        long repeats = 1;
        String source;
        Long millis;

        static Told unread(String reason) {
            Told told = new Told();
            told.reason = reason;
            return told;
        }
    }

    private final StrictJson json = new StrictJson(JSON_DEPTH, JSON_NUMBER, JSON_NUMBER);
    private final CharsetDecoder decoder = StandardCharsets.UTF_8
            .newDecoder()
            .onMalformedInput(CodingErrorAction.REPORT)
            .onUnmappableCharacter(CodingErrorAction.REPORT);
    private final Pattern[] headers;
    private final Pattern tag;
    private final Pattern host;
    private final Pattern repeated;
    private final Pattern shortTime;
    private final Pattern longTime;
    private final List<String> kindNames = new ArrayList<>();
    private final List<Pattern> kinds = new ArrayList<>();
    private final List<?> prefixes;
    private final List<?> programs;
    private final List<?> messageFields;
    private final List<?> hostFields;
    private final List<?> programFields;
    private final List<?> pidFields;
    private final List<?> timeFields;

    /** IllegalArgumentException: the patterns cannot be used. */
    LogLine(String patterns) {
        Map<?, ?> declared;
        try {
            declared = (Map<?, ?>) new StrictJson(JSON_DEPTH, JSON_NUMBER, JSON_NUMBER)
                    .read(patterns.getBytes(StandardCharsets.UTF_8));
        } catch (StrictJson.Refused error) {
            throw new IllegalArgumentException("The option `patterns` of gamestream-log-lines is no JSON object.");
        }
        headers = new Pattern[] {pattern(declared, "header"), pattern(declared, "header_5424")};
        tag = pattern(declared, "tag");
        host = pattern(declared, "host");
        repeated = pattern(declared, "repeated");
        shortTime = pattern(declared, "short_time");
        longTime = pattern(declared, "long_time");
        for (Object one : (List<?>) declared.get("kinds")) {
            kindNames.add((String) ((List<?>) one).get(0));
            kinds.add(Pattern.compile((String) ((List<?>) one).get(1)));
        }
        prefixes = (List<?>) declared.get("prefixes");
        programs = (List<?>) declared.get("programs");
        messageFields = (List<?>) declared.get("message_fields");
        hostFields = (List<?>) declared.get("host_fields");
        programFields = (List<?>) declared.get("program_fields");
        pidFields = (List<?>) declared.get("pid_fields");
        timeFields = (List<?>) declared.get("time_fields");
    }

    private static Pattern pattern(Map<?, ?> declared, String name) {
        return Pattern.compile((String) declared.get(name));
    }

    /** Never throws. */
    Told read(byte[] value) {
        String text;
        try {
            text = decoder.reset().decode(ByteBuffer.wrap(value == null ? new byte[0] : value)).toString();
        } catch (CharacterCodingException error) {
            return Told.unread("NOT_UTF8");
        }
        if (!text.startsWith("{")) {
            return plain(text, null);
        }
        Map<?, ?> outer = object(text);
        if (outer == null) {
            return Told.unread("NOT_JSON");
        }
        Long sent = firstTime(outer, null);
        Object log = outer.get("log");
        if (log instanceof Map) {
            return fields((Map<?, ?>) log, sent);
        }
        if (log instanceof String) {
            String line = (String) log;
            Map<?, ?> inner = line.startsWith("{") ? object(line) : null;
            return inner == null ? plain(line, sent) : fields(inner, sent);
        }
        return fields(outer, sent);
    }

    private Map<?, ?> object(String text) {
        try {
            Object found = json.read(text.getBytes(StandardCharsets.UTF_8));
            return found instanceof Map ? (Map<?, ?>) found : null;
        } catch (StrictJson.Refused error) {
            return null;
        }
    }

    private Told plain(String given, Long sent) {
        String text = stripped(given);
        for (Pattern header : headers) {
            Matcher found = header.matcher(text);
            if (found.matches()) {
                String time = found.group(1);
                String pid = found.group(4) == null ? "" : found.group(4);
                return told(found.group(2), found.group(3), pid, found.group(5), time(time, sent));
            }
        }
        return Told.unread("NO_HEADER");
    }

    private static String stripped(String text) {
        int end = text.length();
        while (end > 0 && (text.charAt(end - 1) == '\r' || text.charAt(end - 1) == '\n')) {
            end--;
        }
        return text.substring(0, end);
    }

    private Told fields(Map<?, ?> fields, Long sent) {
        String message = first(fields, messageFields);
        if (message == null) {
            return Told.unread("NO_LINE");
        }
        message = stripped(message);
        Told whole = plain(message, sent);
        if (!"NO_HEADER".equals(whole.reason)) {
            return whole;
        }
        String named = first(fields, hostFields);
        if (named == null || !host.matcher(named).matches()) {
            named = UNKNOWN_HOST;
        }
        String program = first(fields, programFields);
        String pid = "";
        for (Object name : pidFields) {
            Object found = fields.get(name);
            if (found instanceof String || found instanceof Long || found instanceof Boolean) {
                pid = found.toString();
                break;
            }
        }
        if (!PID.matcher(pid).matches()) {
            pid = "";
        }
        if (program == null) {
            Matcher tagged = tag.matcher(message);
            if (tagged.matches() && programs.contains(tagged.group(1))) {
                program = tagged.group(1);
                pid = tagged.group(2) == null ? "" : tagged.group(2);
                message = tagged.group(3);
            }
        }
        return told(named, program == null || program.isEmpty() ? "sshd" : program, pid, message,
                firstTime(fields, sent));
    }

    private Told told(String from, String program, String pid, String message, Long millis) {
        Told line = new Told();
        line.host = from;
        line.program = program;
        line.pid = pid;
        line.message = message;
        line.millis = millis;
        if (!programs.contains(program)) {
            return line;
        }
        Matcher again = repeated.matcher(message);
        if (again.matches()) {
            line.repeats = Long.parseLong(again.group(1));
            line.message = again.group(2);
        }
        for (int place = 0; place < kinds.size(); place++) {
            Matcher found = kinds.get(place).matcher(line.message);
            if (found.matches()) {
                return attempt(line, kindNames.get(place), found);
            }
        }
        for (Object prefix : prefixes) {
            if (line.message.startsWith((String) prefix)) {
                return unknown(line);
            }
        }
        return line;
    }

    private static Told attempt(Told line, String kind, Matcher found) {
        if (kind.equals(OTHER)) {
            return line;
        }
        String source = canonical(found.group(found.groupCount()));
        if (source == null) {
            return unknown(line);
        }
        line.kind = kind;
        line.source = source;
        if (kind.equals("pam_more")) {
            line.repeats *= Long.parseLong(found.group(1));
        }
        return line;
    }

    private static Told unknown(Told line) {
        line.reason = "UNKNOWN_FORM";
        line.message = null;
        line.repeats = 1;
        return line;
    }

    /** An address as outputs name it; null: the text is none. */
    private static String canonical(String text) {
        if (text.indexOf(':') < 0) {
            return Address.four(text, 0) < 0 ? null : text;
        }
        int[] groups = Address.six(text);
        if (groups == null) {
            return null;
        }
        boolean mapped = groups[5] == 0xffff;
        for (int place = 0; place < 5; place++) {
            mapped &= groups[place] == 0;
        }
        if (mapped) {
            return (groups[6] >> 8) + "." + (groups[6] & 0xff) + "." + (groups[7] >> 8) + "." + (groups[7] & 0xff);
        }
        return text.toLowerCase(java.util.Locale.ROOT);
    }

    private static String first(Map<?, ?> fields, List<?> names) {
        for (Object name : names) {
            if (fields.get(name) instanceof String) {
                // half of a surrogate pair is no text that a row can hold
                return new String(((String) fields.get(name)).getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8);
            }
        }
        return null;
    }

    private Long firstTime(Map<?, ?> fields, Long sent) {
        for (Object name : timeFields) {
            Object value = fields.get(name);
            if (value instanceof String) {
                Long found = time((String) value, sent);
                if (found != null) {
                    return found;
                }
            } else if (value instanceof Long) {
                return number(BigDecimal.valueOf((Long) value));
            } else if (value instanceof BigInteger) {
                return number(new BigDecimal((BigInteger) value));
            } else if (value instanceof BigDecimal) {
                return number((BigDecimal) value);
            }
        }
        return sent;
    }

    private static Long number(BigDecimal value) {
        BigDecimal millis = value.compareTo(SECONDS_BELOW) >= 0 ? value : value.movePointRight(3);
        if (millis.signum() < 0 || millis.compareTo(BigDecimal.valueOf(LATEST_MS)) > 0) {
            return null;
        }
        return millis.setScale(0, RoundingMode.FLOOR).longValueExact();
    }

    private Long time(String text, Long sent) {
        Matcher found = longTime.matcher(text);
        if (found.matches()) {
            Long millis = millis(whole(found, 1), whole(found, 2), whole(found, 3), found, 4);
            if (millis == null) {
                return null;
            }
            String fraction = (found.group(7) == null ? "" : found.group(7)) + "000";
            long at = millis + Long.parseLong(fraction.substring(0, 3));
            if (found.group(8) != null) {
                long ahead = (whole(found, 9) * 60L + whole(found, 10)) * 60_000L;
                at += found.group(8).equals("-") ? ahead : -ahead;
            }
            return at >= 0 && at <= LATEST_MS ? at : null;
        }
        found = shortTime.matcher(text);
        if (!found.matches() || !MONTHS.contains(found.group(1)) || sent == null) {
            return null;
        }
        int month = MONTHS.indexOf(found.group(1)) + 1;
        int day = Integer.parseInt(found.group(2).trim());
        int latest = Instant.ofEpochMilli(sent).atOffset(ZoneOffset.UTC).getYear();
        for (int year = latest + 1; year >= latest - YEARS_BACK; year--) {
            Long millis = millis(year, month, day, found, 3);
            if (millis != null && millis >= 0 && millis <= sent + DAY_MS) {
                return millis;
            }
        }
        return null;
    }

    private static int whole(Matcher found, int group) {
        return Integer.parseInt(found.group(group));
    }

    private static Long millis(int year, int month, int day, Matcher found, int hour) {
        int second = whole(found, hour + 2);
        if (year < 1 || year > LAST_YEAR || second > 60) {
            return null;
        }
        try {
            return LocalDateTime.of(year, month, day, whole(found, hour), whole(found, hour + 1), Math.min(second, 59))
                    .toInstant(ZoneOffset.UTC)
                    .toEpochMilli();
        } catch (DateTimeException error) {
            return null;
        }
    }

    /** Names of the columns that the format has. */
    static List<String> columns() {
        return Arrays.asList(
                "reason", "host", "program", "pid", "message", "kind", "repeats", "source", "country", "millis");
    }
}
