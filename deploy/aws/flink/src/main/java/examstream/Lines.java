package examstream;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichFlatMapFunction;
import org.apache.flink.metrics.Counter;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;

/** Cuts what one record of the stream carries into lines, and lines into events. */
final class Lines extends RichFlatMapFunction<Row, Row> {
    private static final long serialVersionUID = 1;
    private transient Counter passedOver;

    @Override
    public void open(OpenContext context) {
        passedOver = getRuntimeContext().getMetricGroup().counter("linesPassedOver");
    }

    @Override
    public void flatMap(Row delivered, Collector<Row> events) {
        byte[] data = delivered.getFieldAs(0);
        for (int from = 0, to; from < data.length; from = to + 1) {
            for (to = from; to < data.length && data[to] != '\n'; to++) {}
            int first = from;
            int end = to;
            while (first < end && space(data[first])) {
                first++;
            }
            while (end > first && space(data[end - 1])) {
                end--;
            }
            if (first == end) {
                continue;
            }
            Row event = Event.of(data, first, end);
            if (event == null) {
                passedOver.inc();
            } else {
                events.collect(event);
            }
        }
    }

    private static boolean space(byte b) {
        return b == ' ' || b == '\t' || b == '\r' || b == '\f';
    }
}
