package examstream;

import java.io.IOException;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.table.api.Schema;
import org.apache.flink.types.Row;

/**
 * A line as a row of the table {@code events}: the columns of docs/sql.md, read as the embedded
 * engine reads them, so that one file of SQL means the same in both.
 *
 * <p>No row comes of a line that is not one JSON object or has no time of its own, nor of a record
 * of the type {@code signal}: results of queries come back through the same stream; nor of one of
 * the type {@code erased}, which is about what is kept.
 */
final class Event {
    private enum Kind {
        INT("INT", Types.INT),
        LONG("BIGINT", Types.LONG),
        TEXT("STRING", Types.STRING),
        BOOL("BOOLEAN", Types.BOOLEAN),
        TIME("TIMESTAMP(3)", Types.LOCAL_DATE_TIME);

        final String sql;
        final TypeInformation<?> type;

        Kind(String sql, TypeInformation<?> type) {
            this.sql = sql;
            this.type = type;
        }
    }

    private static final Object[][] COLUMNS = {
        {"v", Kind.INT}, {"id", Kind.TEXT}, {"type", Kind.TEXT},
        {"ts", Kind.TIME}, {"sent", Kind.TIME}, {"edited", Kind.TIME},
        {"site", Kind.TEXT}, {"quiz", Kind.LONG}, {"attempt", Kind.LONG}, {"usage", Kind.LONG},
        {"student_id", Kind.LONG}, {"preview", Kind.BOOL}, {"page", Kind.TEXT}, {"seq", Kind.LONG},
        {"slot", Kind.INT}, {"qa", Kind.LONG}, {"status", Kind.INT}, {"word", Kind.TEXT},
        {"username", Kind.TEXT}, {"fields", Kind.TEXT}, {"slots", Kind.TEXT}, {"counts", Kind.TEXT},
        {"device", Kind.TEXT}, {"address", Kind.TEXT}, {"agent", Kind.TEXT},
        {"help_call", Kind.TEXT}, {"help_step", Kind.TEXT}, {"help_by", Kind.LONG},
        {"record", Kind.TEXT},
    };
    private static final int ID = 1;
    private static final int TS = 3;

    static final TypeInformation<Row> TYPE = type();
    private static final JsonFactory JSON = new JsonFactory();
    /** The last second of the year 9999. */
    private static final double END = 253_402_300_800.0;
    private static final BigDecimal EXACT = BigDecimal.valueOf(1L << 53);

    private Event() {}

    private static TypeInformation<Row> type() {
        String[] names = new String[COLUMNS.length];
        TypeInformation<?>[] types = new TypeInformation<?>[COLUMNS.length];
        for (int i = 0; i < COLUMNS.length; i++) {
            names[i] = (String) COLUMNS[i][0];
            types[i] = ((Kind) COLUMNS[i][1]).type;
        }
        return Types.ROW_NAMED(names, types);
    }

    static Schema schema() {
        Schema.Builder schema = Schema.newBuilder();
        for (Object[] column : COLUMNS) {
            schema.column((String) column[0], ((Kind) column[1]).sql);
        }
        return schema.watermark("ts", "SOURCE_WATERMARK()").build();
    }

    static String id(Row event) {
        return event.getFieldAs(ID);
    }

    static long millis(Row event) {
        return event.<LocalDateTime>getFieldAs(TS).toInstant(ZoneOffset.UTC).toEpochMilli();
    }

    /** Null where the line is no event. */
    static Row of(byte[] bytes, int from, int to) {
        String line = new String(bytes, from, to - from, StandardCharsets.UTF_8);
        Map<String, Value> members = members(line);
        if (members == null) {
            return null;
        }
        Value kind = members.get("type");
        boolean bare = !members.containsKey("v");
        Value time = members.get("ts");
        LocalDateTime ts = time(time == null && bare ? members.get("\0time") : time);
        boolean noEvent = kind != null && kind.token == JsonToken.VALUE_STRING
                && (kind.text.equals("signal") || kind.text.equals("erased"));
        if (ts == null || noEvent) {
            return null;
        }
        Value status = members.get("status");
        boolean word = bare && status != null && status.token == JsonToken.VALUE_STRING;
        String id = text(members.get("id"));
        LocalDateTime edited = time(members.get("at"));
        return Row.of(
                integer(members.get("v")),
                id == null ? hash(bytes, from, to) : id,
                text(kind),
                ts,
                time(members.get("sent")),
                edited == null ? ts : edited,
                text(members.get("site")),
                number(members.get("quiz")),
                number(members.get("attempt")),
                number(members.get("usage")),
                number(members.get("student_id")),
                truth(members.get("preview")),
                text(members.get("page")),
                number(members.get("seq")),
                integer(members.get("slot")),
                number(members.get("qa")),
                word ? null : integer(status),
                word ? status.text : null,
                text(members.get("user")),
                object(members.get("fields")),
                object(members.get("slots")),
                object(members.get("counts")),
                text(members.get("device")),
                text(members.get("address")),
                text(members.get("agent")),
                text(members.get("call")),
                text(members.get("step")),
                number(members.get("by")),
                line);
    }

    /** A member's value: a text without its quotes and escapes, everything else as it stands in the line. */
    private record Value(JsonToken token, String text) {}

    /** Members of one object, of a name twice the last; null if the line is anything else. */
    private static Map<String, Value> members(String line) {
        Map<String, Value> members = new HashMap<>();
        try (JsonParser parser = JSON.createParser(line)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                return null;
            }
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                if (!name.equals("ts")
                        && (name.equalsIgnoreCase("timestamp")
                                || name.equalsIgnoreCase("time")
                                || name.equalsIgnoreCase("ts"))) {
                    name = "\0time";
                }
                JsonToken token = parser.nextToken();
                if (token == JsonToken.VALUE_NULL) {
                    members.remove(name);
                } else if (token.isStructStart()) {
                    int start = (int) parser.currentTokenLocation().getCharOffset();
                    parser.skipChildren();
                    int end = (int) parser.currentLocation().getCharOffset();
                    members.put(name, new Value(token, line.substring(start, end)));
                } else {
                    members.put(name, new Value(token, parser.getText()));
                }
            }
            return parser.currentToken() == JsonToken.END_OBJECT && parser.nextToken() == null ? members : null;
        } catch (IOException malformed) {
            return null;
        }
    }

    private static String text(Value value) {
        return value != null && (value.token == JsonToken.VALUE_STRING || value.token.isNumeric())
                ? value.text
                : null;
    }

    private static Long number(Value value) {
        String digits = text(value);
        if (digits == null) {
            return null;
        }
        try {
            return Long.valueOf(digits);
        } catch (NumberFormatException notPlain) {
            try {
                BigDecimal decimal = new BigDecimal(digits);
                boolean whole = decimal.stripTrailingZeros().scale() <= 0 && decimal.abs().compareTo(EXACT) < 0;
                return whole ? decimal.longValueExact() : null;
            } catch (NumberFormatException none) {
                return null;
            }
        }
    }

    private static Integer integer(Value value) {
        Long number = number(value);
        return number == null || number.intValue() != number ? null : number.intValue();
    }

    private static Boolean truth(Value value) {
        return value != null && (value.token == JsonToken.VALUE_TRUE || "1".equals(text(value)));
    }

    /** As it stands in the line; PHP writes an empty object as {@code []}. */
    private static String object(Value value) {
        if (value == null) {
            return null;
        }
        boolean empty = value.token == JsonToken.START_ARRAY
                && value.text.substring(1, value.text.length() - 1).isBlank();
        return value.token == JsonToken.START_OBJECT ? value.text : empty ? "{}" : null;
    }

    /** Seconds since 1970: the microseconds of the schema, rounded down to milliseconds. */
    private static LocalDateTime time(Value value) {
        if (value == null || !value.token.isNumeric()) {
            return null;
        }
        double seconds = Double.parseDouble(value.text);
        return seconds < 0 || seconds >= END
                ? null
                : LocalDateTime.ofInstant(
                        Instant.ofEpochMilli(Math.round(seconds * 1e6) / 1000), ZoneOffset.UTC);
    }

    private static String hash(byte[] bytes, int from, int to) {
        try {
            MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
            sha256.update(bytes, from, to - from);
            return HexFormat.of().formatHex(sha256.digest(), 0, 16);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }
}
