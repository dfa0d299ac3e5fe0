package gamestream;

import java.util.Map;
import java.util.Set;

/** Country and device of one accepted event, each with the version of the table that was asked. */
final class Enriched {
    static final Set<String> COLUMNS =
            Set.of("country", "geo_version", "device_category", "device_tier", "device_version");

    private final String country;
    /** Null: the sender gave the country, or no address. */
    private final String geoVersion;
    private final DeviceTable.Device device;
    private final String deviceVersion;

    Enriched(Map<String, Object> envelope) {
        String sent = (String) envelope.get("country");
        String address = (String) envelope.get("ip_address");
        if (sent == null && address != null) {
            GeoTable geo = Tables.geo();
            country = geo.countryOf(address);
            geoVersion = geo.version;
        } else {
            country = sent == null ? GeoTable.UNKNOWN : sent;
            geoVersion = null;
        }
        String model = (String) envelope.get("device_model");
        DeviceTable devices = Tables.devices();
        device = model == null ? DeviceTable.Device.UNKNOWN : devices.deviceOf(model);
        deviceVersion = devices.version;
    }

    String column(String name) {
        switch (name) {
            case "country":
                return country;
            case "geo_version":
                return geoVersion;
            case "device_category":
                return device.category;
            case "device_tier":
                return device.tier;
            default:
                return deviceVersion;
        }
    }
}
