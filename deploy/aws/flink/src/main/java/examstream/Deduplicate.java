package examstream;

import java.time.Duration;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;

/**
 * Delivery is at least once: of records with one id the first passes.
 *
 * <p>An id is remembered for a day of event time. A duplicate that comes later is late for every
 * window that ends within that day.
 */
final class Deduplicate extends KeyedProcessFunction<String, Row, Row> {
    private static final long serialVersionUID = 1;
    private static final long KEPT = Duration.ofDays(1).toMillis();
    private transient ValueState<Boolean> seen;

    @Override
    public void open(OpenContext context) {
        seen = getRuntimeContext().getState(new ValueStateDescriptor<>("seen", Types.BOOLEAN));
    }

    @Override
    public void processElement(Row event, Context context, Collector<Row> events) throws Exception {
        if (seen.value() == null) {
            seen.update(true);
            context.timerService().registerEventTimeTimer(context.timestamp() + KEPT);
            events.collect(event);
        }
    }

    @Override
    public void onTimer(long time, OnTimerContext context, Collector<Row> events) {
        seen.clear();
    }
}
