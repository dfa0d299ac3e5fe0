package gamestream;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Category and tier of device models, from the file that enrichment/device_table.py describes and reads alike. */
final class DeviceTable {
    private static final int DEPTH = 8;
    private static final int NUMBER = 20;
    private static final int REMEMBERED = 4096;

    final String version;
    private final List<String> makers = new ArrayList<>();
    private final Map<String, Device> devices = new HashMap<>();
    private final int longest;
    private final Map<String, Device> remembered = new LinkedHashMap<>(REMEMBERED, 0.75f, true) {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Device> eldest) {
            return size() > REMEMBERED;
        }
    };

    /** What is known about a device model. */
    static final class Device {
        static final Device UNKNOWN = new Device("unknown", "unknown");
        final String category;
        final String tier;

        Device(String category, String tier) {
            this.category = category;
            this.tier = tier;
        }
    }

    /** IllegalArgumentException: the bytes are no such table. */
    DeviceTable(byte[] file) {
        Map<?, ?> document;
        try {
            document = (Map<?, ?>) new StrictJson(DEPTH, NUMBER, NUMBER).read(file);
        } catch (StrictJson.Refused | ClassCastException error) {
            throw new IllegalArgumentException("not a device table");
        }
        if (!(document.get("version") instanceof String) || !(document.get("rules") instanceof List)) {
            throw new IllegalArgumentException("a device table without version or rules");
        }
        version = (String) document.get("version");
        GameField.texts(document.get("makers")).forEach(maker -> makers.add(lower(maker) + " "));
        int most = 0;
        for (Object one : (List<?>) document.get("rules")) {
            Map<?, ?> rule = (Map<?, ?>) one;
            Device device = new Device((String) rule.get("category"), (String) rule.get("tier"));
            for (String prefix : GameField.texts(rule.get("prefixes"))) {
                devices.put(lower(prefix), device);
                most = Math.max(most, prefix.length());
            }
        }
        longest = most;
    }

    /** Category and tier of a model as its system names it. */
    Device deviceOf(String model) {
        synchronized (remembered) {
            return remembered.computeIfAbsent(model, this::find);
        }
    }

    private Device find(String model) {
        String name = lower(model);
        int begin = 0;
        int end = name.length();
        while (begin < end && name.charAt(begin) == ' ') {
            begin++;
        }
        while (end > begin && name.charAt(end - 1) == ' ') {
            end--;
        }
        name = name.substring(begin, end);
        Device found = longestMatch(name);
        if (found == null) {
            for (String maker : makers) {
                if (name.startsWith(maker)) {
                    int at = maker.length();
                    while (at < name.length() && name.charAt(at) == ' ') {
                        at++;
                    }
                    found = longestMatch(name.substring(at));
                    break;
                }
            }
        }
        return found == null ? Device.UNKNOWN : found;
    }

    private Device longestMatch(String name) {
        for (int length = Math.min(name.length(), longest); length > 0; length--) {
            Device found = devices.get(name.substring(0, length));
            if (found != null) {
                return found;
            }
        }
        return null;
    }

    /** ASCII letters alone, so that no locale matters. */
    private static String lower(String text) {
        StringBuilder made = new StringBuilder(text);
        for (int place = 0; place < made.length(); place++) {
            char found = made.charAt(place);
            if (found >= 'A' && found <= 'Z') {
                made.setCharAt(place, (char) (found + 'a' - 'A'));
            }
        }
        return made.toString();
    }
}
