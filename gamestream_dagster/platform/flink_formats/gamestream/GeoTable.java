package gamestream;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

/** Countries of addresses, from the file that enrichment/geo_table.py describes and reads alike. */
final class GeoTable {
    static final String UNKNOWN = "unknown";
    private static final byte[] MAGIC = "GSGEO001".getBytes(StandardCharsets.US_ASCII);
    private static final int PREFIX = MAGIC.length + Integer.BYTES;
    private static final int HEADER_DEPTH = 8;
    private static final int HEADER_NUMBER = 20;
    private static final int MAPPED_GROUP = 5;

    final String version;
    private final ByteBuffer bytes;
    private final String[] countries;
    private final int four;
    private final int six;
    private final int fourStarts;
    private final int sixStarts;
    private final int fourPlaces;
    private final int sixPlaces;

    /** IllegalArgumentException: the bytes are no such table. */
    GeoTable(byte[] file) {
        bytes = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        if (file.length < PREFIX || !ByteBuffer.wrap(file, 0, MAGIC.length).equals(ByteBuffer.wrap(MAGIC))) {
            throw new IllegalArgumentException("not a geo table");
        }
        int length = bytes.getInt(MAGIC.length);
        if (length < 0 || length > file.length - PREFIX) {
            throw new IllegalArgumentException("a geo table with a cut header");
        }
        Map<?, ?> header = header(new String(file, PREFIX, length, StandardCharsets.UTF_8));
        version = (String) header.get("version");
        countries = ((List<?>) header.get("countries")).toArray(new String[0]);
        four = ((Long) header.get("ipv4")).intValue();
        six = ((Long) header.get("ipv6")).intValue();
        sixStarts = PREFIX + length;
        fourStarts = sixStarts + Long.BYTES * six;
        sixPlaces = fourStarts + Integer.BYTES * four;
        fourPlaces = sixPlaces + six;
        if (four <= 0 || six <= 0 || fourPlaces + four != file.length) {
            throw new IllegalArgumentException("a geo table of another length than its header says");
        }
        for (int at = sixPlaces; at < file.length; at++) {
            if ((file[at] & 0xff) >= countries.length) {
                throw new IllegalArgumentException("a geo table with a country that its header does not have");
            }
        }
    }

    private static Map<?, ?> header(String text) {
        try {
            StrictJson reader = new StrictJson(HEADER_DEPTH, HEADER_NUMBER, HEADER_NUMBER);
            return (Map<?, ?>) reader.read(text.trim().getBytes(StandardCharsets.UTF_8));
        } catch (StrictJson.Refused error) {
            throw new IllegalArgumentException("a geo table whose header is not JSON");
        }
    }

    /** The ISO 3166-1 code of an address, or `unknown`. */
    String countryOf(String address) {
        if (address.indexOf(':') < 0) {
            return ofFour(Address.four(address, 0));
        }
        int[] groups = Address.six(address);
        if (groups == null) {
            return UNKNOWN;
        }
        if (isMapped(groups)) {
            return ofFour((long) groups[MAPPED_GROUP + 1] << 16 | groups[MAPPED_GROUP + 2]);
        }
        long upper = (long) groups[0] << 48 | (long) groups[1] << 32 | (long) groups[2] << 16 | groups[3];
        int low = 0;
        int high = six;
        while (high - low > 1) {
            int middle = low + high >>> 1;
            if (Long.compareUnsigned(bytes.getLong(sixStarts + Long.BYTES * middle), upper) <= 0) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return countries[bytes.get(sixPlaces + low) & 0xff];
    }

    private static boolean isMapped(int[] groups) {
        for (int place = 0; place < MAPPED_GROUP; place++) {
            if (groups[place] != 0) {
                return false;
            }
        }
        return groups[MAPPED_GROUP] == 0xffff;
    }

    private String ofFour(long address) {
        if (address < 0) {
            return UNKNOWN;
        }
        int low = 0;
        int high = four;
        while (high - low > 1) {
            int middle = low + high >>> 1;
            if ((bytes.getInt(fourStarts + Integer.BYTES * middle) & 0xffffffffL) <= address) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return countries[bytes.get(fourPlaces + low) & 0xff];
    }
}
