package gamestream;

import java.util.List;
import java.util.Map;

/** Finds texts that Postgres or UTF-8 cannot hold. */
final class BadText {
    private BadText() {}

    /** The path of the first text, or of the object of the first name, with a NUL or an unpaired surrogate. */
    static String in(Object value, String path) {
        if (value instanceof String) {
            return isBad((String) value) ? path : null;
        }
        if (value instanceof List) {
            for (Object part : (List<?>) value) {
                String found = in(part, path);
                if (found != null) {
                    return found;
                }
            }
        } else if (value instanceof Map) {
            for (Map.Entry<?, ?> part : ((Map<?, ?>) value).entrySet()) {
                String name = (String) part.getKey();
                String found = isBad(name) ? path : in(part.getValue(), path.isEmpty() ? name : path + "." + name);
                if (found != null) {
                    return found;
                }
            }
        }
        return null;
    }

    private static boolean isBad(String text) {
        for (int place = 0; place < text.length(); place++) {
            char found = text.charAt(place);
            if (found == 0) {
                return true;
            }
            if (Character.isSurrogate(found)) {
                boolean pair = Character.isHighSurrogate(found) && place + 1 < text.length()
                        && Character.isLowSurrogate(text.charAt(place + 1));
                if (!pair) {
                    return true;
                }
                place++;
            }
        }
        return false;
    }
}
