package examstream;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.Table;
import org.apache.flink.table.api.bridge.java.StreamStatementSet;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The analysis at scale: a folder of .sql files over the stream of events, on Apache Flink.
 *
 * <p>The files, the table {@code events} and the rows are those of {@code exam-analyse}; docs/sql.md
 * describes them. A file that Flink refuses is named in the log with the reason, and the others run.
 *
 * <p>Where records come from and where results go is said in options of Flink's own connectors, so
 * the code that runs on AWS between Kinesis and Firehose is the code that is tested between files:
 *
 * <table>
 * <caption>Property groups</caption>
 * <tr><td>{@code source}</td><td>options of a table with one column, {@code data BYTES}: lines of
 *     records, any number of them a row</td></tr>
 * <tr><td>{@code signals}</td><td>options of a table with one column, {@code line STRING}: the
 *     rows of queries that say {@code -- signal: NAME}, as records of the type signal</td></tr>
 * <tr><td>{@code rows}</td><td>the same, for every row of every query; the log where missing</td></tr>
 * <tr><td>{@code exam-stream}</td><td>{@code lateness}, {@code idle-timeout}: as
 *     {@code exam-analyse run} has them. Without a lateness nothing is late and windows close at the
 *     end of the source, which must have one. {@code since}: windows that ended longer than this
 *     before the start are not written; every window where missing</td></tr>
 * </table>
 *
 * <p>A new set of queries starts without state and reads again what the stream still has. Rows that
 * were written before come again with the same ids. Only the oldest windows would miss what the
 * stream has forgotten: {@code since} leaves them as they are.
 *
 * <p>Managed Service for Apache Flink provides the groups; elsewhere {@code --properties FILE} names
 * a file of the same form. The queries lie in the jar below {@code sql/}, or in {@code --sql DIR}.
 */
public final class Job {
    private static final Logger LOG = LoggerFactory.getLogger(Job.class);
    /** Where Managed Service for Apache Flink puts an application's properties. */
    private static final Path PROPERTIES = Path.of("/etc/flink/application_properties.json");

    private Job() {}

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            options.put(arguments[i], arguments[i + 1]);
        }
        Map<String, Map<String, String>> properties =
                properties(Path.of(options.getOrDefault("--properties", PROPERTIES.toString())));
        List<Query> queries =
                options.containsKey("--sql")
                        ? Query.inFolder(Path.of(options.get("--sql")))
                        : Query.inThisJar();
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment();
        run(environment, properties, queries);
    }

    static void run(
            StreamExecutionEnvironment environment,
            Map<String, Map<String, String>> properties,
            List<Query> queries)
            throws Exception {
        StreamTableEnvironment tables = StreamTableEnvironment.create(environment);
        tables.getConfig().set("table.local-time-zone", "UTC");

        define(tables, "source", "`data` BYTES", properties);
        DataStream<Row> delivered = tables.toDataStream(tables.from("source"));
        Map<String, String> settings = properties.getOrDefault("exam-stream", Map.of());
        DataStream<Row> events =
                delivered
                        .flatMap(new Lines())
                        .name("lines")
                        .returns(Event.TYPE)
                        .assignTimestampsAndWatermarks(time(settings))
                        .keyBy(Event::id)
                        .process(new Deduplicate())
                        .name("one of each id")
                        .returns(Event.TYPE);
        tables.createTemporaryView("events", events, Event.schema());

        long from =
                settings.containsKey("since")
                        ? System.currentTimeMillis() - millis(settings.get("since"))
                        : Long.MIN_VALUE;
        List<DataStream<String>> rows = new ArrayList<>();
        List<DataStream<String>> signals = new ArrayList<>();
        for (Query query : queries) {
            try {
                Table result = tables.sqlQuery(query.text());
                Results results = new Results(query, result.getResolvedSchema(), from);
                SingleOutputStreamOperator<String> lines =
                        tables.toDataStream(result).process(results).name(query.name());
                rows.add(lines);
                signals.add(lines.getSideOutput(Results.SIGNALS));
                LOG.info("query {} runs", query.name());
            } catch (RuntimeException refused) { // Flink's exceptions have no other parent
                LOG.error("query {} is refused: {}", query.name(), reason(refused));
            }
        }
        if (rows.isEmpty()) {
            throw new IllegalArgumentException("there is no query to run");
        }

        StreamStatementSet sinks = tables.createStatementSet();
        write(tables, sinks, "signals", signals, properties);
        if (properties.containsKey("rows")) {
            write(tables, sinks, "rows", rows, properties);
        } else {
            union(rows).map(new Log()).name("log");
        }
        sinks.attachAsDataStream();
        environment.execute("exam-stream analysis");
    }

    /** Event time; see {@link StreamTime}. */
    private static WatermarkStrategy<Row> time(Map<String, String> settings) {
        WatermarkStrategy<Row> strategy = WatermarkStrategy.noWatermarks();
        if (settings.containsKey("lateness")) {
            long lateness = millis(settings.get("lateness"));
            long idle = millis(settings.getOrDefault("idle-timeout", "0s"));
            strategy = WatermarkStrategy.forGenerator(
                    context -> new StreamTime(lateness, idle, System::currentTimeMillis));
        }
        return strategy.withTimestampAssigner((event, none) -> Event.millis(event));
    }

    static long millis(String duration) {
        return Duration.parse("PT" + duration.toUpperCase()).toMillis();
    }

    /** A table with one column and the options of its group, word for word. */
    private static void define(
            StreamTableEnvironment tables,
            String name,
            String column,
            Map<String, Map<String, String>> properties) {
        Map<String, String> options = properties.get(name);
        if (options == null || !options.containsKey("connector")) {
            throw new IllegalArgumentException(
                    "the property group " + name + " must name a connector of Flink");
        }
        String with =
                options.entrySet().stream()
                        .map(option -> quoted(option.getKey()) + " = " + quoted(option.getValue()))
                        .collect(Collectors.joining(", "));
        tables.executeSql(
                "CREATE TEMPORARY TABLE `" + name + "` (" + column + ") WITH (" + with + ")");
    }

    private static String quoted(String text) {
        return "'" + text.replace("'", "''") + "'";
    }

    private static void write(
            StreamTableEnvironment tables,
            StreamStatementSet sinks,
            String name,
            List<DataStream<String>> lines,
            Map<String, Map<String, String>> properties) {
        define(tables, name, "`line` STRING", properties);
        sinks.add(tables.fromDataStream(union(lines)).as("line").insertInto(name));
    }

    private static DataStream<String> union(List<DataStream<String>> streams) {
        DataStream<String> all = streams.get(0);
        for (DataStream<String> other : streams.subList(1, streams.size())) {
            all = all.union(other);
        }
        return all;
    }

    /** What a person needs of a chain of causes: the innermost message. */
    static String reason(Throwable error) {
        Throwable inner = error;
        while (inner.getCause() != null) {
            inner = inner.getCause();
        }
        String message = inner.getMessage() == null ? inner.toString() : inner.getMessage();
        // Flink tells it by the plan's nodes.
        return message.contains("consuming update")
                ? "its rows change after they were written: GROUP BY window_start, window_end (both)"
                : message;
    }

    /** {@code [{"PropertyGroupId": "source", "PropertyMap": {"connector": "kinesis", …}}, …]}. */
    static Map<String, Map<String, String>> properties(Path file) throws IOException {
        Map<String, Map<String, String>> groups = new HashMap<>();
        for (JsonNode group : new ObjectMapper().readTree(Files.readAllBytes(file))) {
            Map<String, String> map = new HashMap<>();
            group.path("PropertyMap")
                    .fields()
                    .forEachRemaining(entry -> map.put(entry.getKey(), entry.getValue().asText()));
            groups.put(group.path("PropertyGroupId").asText(), map);
        }
        return groups;
    }
}
