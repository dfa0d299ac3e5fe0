package gamestream;

/**
 * Addresses as the C library's `inet_pton` reads them. `InetAddress` would ask a name server about every text that is no
 * address.
 */
final class Address {
    private static final int GROUPS = 8;
    private static final int GROUP_DIGITS = 4;
    private static final int OCTETS = 4;

    private Address() {}

    /** The IPv4 address that the text has from a place on, 0 to 2^32 - 1; -1: none. */
    static long four(String text, int from) {
        long found = 0;
        int at = from;
        for (int octet = 0; octet < OCTETS; octet++) {
            if (octet > 0 && (at >= text.length() || text.charAt(at++) != '.')) {
                return -1;
            }
            int begin = at;
            int value = 0;
            while (at < text.length() && isDigit(text.charAt(at))) {
                value = value * 10 + text.charAt(at++) - '0';
                if (value > 255 || (at - begin > 1 && text.charAt(begin) == '0')) {
                    return -1;
                }
            }
            if (at == begin) {
                return -1;
            }
            found = found << 8 | value;
        }
        return at == text.length() ? found : -1;
    }

    /** The eight groups of an IPv6 address; null: the text is none. */
    static int[] six(String text) {
        int[] groups = new int[GROUPS];
        int count = 0;
        int gap = -1;
        int at = 0;
        if (text.startsWith("::")) {
            gap = 0;
            at = 2;
        }
        while (at < text.length()) {
            if (count == GROUPS) {
                return null;
            }
            int end = at;
            int value = 0;
            while (end < text.length() && Character.digit(text.charAt(end), 16) >= 0 && text.charAt(end) < 128) {
                value = value << 4 | Character.digit(text.charAt(end++), 16);
                if (end - at > GROUP_DIGITS) {
                    return null;
                }
            }
            if (end < text.length() && text.charAt(end) == '.') {
                long embedded = four(text, at);
                if (embedded < 0 || count > GROUPS - 2) {
                    return null;
                }
                groups[count++] = (int) (embedded >> 16);
                groups[count++] = (int) (embedded & 0xffff);
                at = text.length();
                break;
            }
            if (end == at) {
                return null;
            }
            groups[count++] = value;
            at = end;
            if (at == text.length()) {
                break;
            }
            if (text.charAt(at++) != ':' || at == text.length()) {
                return null;
            }
            if (text.charAt(at) == ':') {
                if (gap >= 0) {
                    return null;
                }
                gap = count;
                at++;
            }
        }
        return filled(groups, count, gap);
    }

    private static int[] filled(int[] groups, int count, int gap) {
        if (gap < 0) {
            return count == GROUPS ? groups : null;
        }
        if (count == GROUPS) {
            return null;
        }
        int[] found = new int[GROUPS];
        System.arraycopy(groups, 0, found, 0, gap);
        System.arraycopy(groups, gap, found, GROUPS - count + gap, count - gap);
        return found;
    }

    private static boolean isDigit(char found) {
        return found >= '0' && found <= '9';
    }
}
