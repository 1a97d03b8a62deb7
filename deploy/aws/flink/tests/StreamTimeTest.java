package examstream;

import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkOutput;

/** Event time with a clock that stands until it is moved. Says what is wrong, and ends with 1. */
public final class StreamTimeTest {
    private static long now = 1_000_000;

    private static final class Output implements WatermarkOutput {
        final List<String> told = new ArrayList<>();

        @Override
        public void emitWatermark(Watermark mark) {
            told.add(String.valueOf(mark.getTimestamp()));
        }

        @Override
        public void markIdle() {
            told.add("idle");
        }

        @Override
        public void markActive() {}
    }

    private static void expect(String what, Output output, String... expected) {
        if (!output.told.equals(List.of(expected))) {
            System.err.println(what + ": expected " + List.of(expected) + ", got " + output.told);
            System.exit(1);
        }
        output.told.clear();
        System.out.println("ok " + what);
    }

    public static void main(String[] none) {
        Output output = new Output();
        StreamTime time = new StreamTime(60_000, 30_000, () -> now);
        time.onPeriodicEmit(output);
        expect("before the first event there is no time", output);
        now += 30_000;
        time.onPeriodicEmit(output);
        expect("a shard that never had an event holds up no other", output, "idle");
        time.onEvent(null, 900_000, output);
        time.onEvent(null, 850_000, output);
        time.onPeriodicEmit(output);
        expect("the latest event's, less the lateness", output, "839999");
        now += 29_999;
        time.onPeriodicEmit(output);
        expect("a pause is no silence", output, "839999");
        now += 1;
        time.onPeriodicEmit(output);
        expect("a silent stream goes on with the clock", output, "869999");
        now += 60_000;
        time.onPeriodicEmit(output);
        expect("for as long as it is silent", output, "929999");
        time.onEvent(null, now + 3_600_000, output);
        time.onPeriodicEmit(output);
        expect("a clock that is ahead closes no window", output, String.valueOf(now - 60_001));

        StreamTime patient = new StreamTime(0, 0, () -> now);
        patient.onEvent(null, 5, output);
        now += 1L << 40;
        patient.onPeriodicEmit(output);
        expect("without an idle timeout silence means nothing", output, "4");
    }
}
