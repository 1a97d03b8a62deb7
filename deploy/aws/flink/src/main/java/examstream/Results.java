package examstream;

import java.math.BigDecimal;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.DecimalNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/**
 * A query's rows as lines of JSON and, where they say which quiz they are about, as signals: both
 * as {@code exam-analyse} writes them, ids included, so that a signal from either is the same.
 */
final class Results extends ProcessFunction<Row, String> {
    private static final long serialVersionUID = 1;
    static final OutputTag<String> SIGNALS = new OutputTag<>("signals", Types.STRING);
    /** The slice that a row without a window belongs to, in milliseconds. */
    private static final long SLICE = 10_000;
    private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSS'Z'");
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Query query;
    private final String[] columns;
    private final long from;

    /** Of windows that end at {@code from} or later. Refuses rows that do not say when they are. */
    Results(Query query, ResolvedSchema schema, long from) {
        this.query = query;
        this.columns = schema.getColumnNames().toArray(new String[0]);
        this.from = from;
        boolean windowed =
                schema.getColumn("window_end")
                        .filter(end -> end.getDataType().getLogicalType().is(LogicalTypeRoot.TIMESTAMP_WITHOUT_TIME_ZONE))
                        .isPresent();
        boolean timed =
                schema.getColumnDataTypes().stream()
                        .anyMatch(type -> LogicalTypeChecks.isRowtimeAttribute(type.getLogicalType()));
        if (!windowed && !timed) {
            throw new IllegalArgumentException("its rows do not say when they are: select window_end, or ts as it is");
        }
    }

    @Override
    public void processElement(Row result, Context context, Collector<String> lines) {
        ObjectNode row = JSON.createObjectNode();
        Long end = null;
        for (int i = 0; i < columns.length; i++) {
            Object value = result.getField(i);
            if (columns[i].equals("window_end") && value instanceof LocalDateTime time) {
                end = time.toInstant(ZoneOffset.UTC).toEpochMilli();
            }
            row.set(columns[i], json(value));
        }
        if (end == null) {
            end = Math.floorDiv(context.timestamp(), SLICE) * SLICE + SLICE;
            row.put("window_end", time(end));
        }
        if (end < from) {
            return;
        }
        String signal = query.signal() == null ? null : signal(query.signal(), row, end);
        if (signal != null) {
            context.output(SIGNALS, signal);
        }
        ObjectNode line = JSON.createObjectNode().put("query", query.name());
        line.setAll(row);
        lines.collect(line.put("revision", 0).toString());
    }

    private static JsonNode json(Object value) {
        if (value instanceof LocalDateTime time) {
            return JSON.getNodeFactory().textNode(TIME.format(time));
        }
        return value instanceof Instant instant
                ? JSON.getNodeFactory().textNode(time(instant.toEpochMilli()))
                : JSON.valueToTree(value);
    }

    private static String time(long millis) {
        return TIME.format(LocalDateTime.ofInstant(Instant.ofEpochMilli(millis), ZoneOffset.UTC));
    }

    /** Null where the row does not say which quiz it is about. */
    static String signal(String name, ObjectNode row, long end) {
        JsonNode site = row.path("site");
        JsonNode quiz = row.path("quiz");
        JsonNode attempt = row.path("attempt");
        JsonNode slot = row.path("slot");
        if (!site.isTextual() || !quiz.isIntegralNumber()) {
            return null;
        }
        String id = String.join("/", name, time(end), site.asText(), quiz.asText(), attempt.asText(""), slot.asText(""), "0");
        ObjectNode signal =
                JSON.createObjectNode()
                        .put("v", 1)
                        .put("id", id)
                        .put("type", "signal");
        // In plain digits, which a double above ten million would not be.
        DecimalNode seconds = DecimalNode.valueOf(BigDecimal.valueOf(end, 3).setScale(end % 1000 == 0 ? 1 : 3));
        signal.set("ts", seconds);
        signal.set("at", seconds);
        signal.put("site", site.asText()).put("quiz", quiz.asLong());
        if (attempt.isIntegralNumber()) {
            signal.put("attempt", attempt.asLong());
        }
        if (slot.isIntegralNumber()) {
            signal.put("slot", slot.asLong());
        }
        signal.put("name", name).put("revision", 0).set("row", row);
        return signal.toString();
    }
}
