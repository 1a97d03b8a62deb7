package examstream;

import java.io.Serializable;
import java.util.function.LongSupplier;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.types.Row;

/**
 * How far event time has come: the latest event's less the lateness.
 *
 * <p>An event that is ahead of this machine's clock moves it no further than that clock, or it
 * would close every window. A stream that has been silent for the idle timeout goes on with the
 * clock, so that a quiet exam closes its windows; one that never had an event holds up no other.
 */
final class StreamTime implements WatermarkGenerator<Row> {
    /** A clock that travels with the job. */
    interface Clock extends LongSupplier, Serializable {}

    private final long lateness;
    private final long idleTimeout;
    private final Clock clock;
    private final long started;
    private long latest = Long.MIN_VALUE;
    private long heard;

    /** Milliseconds; an idle timeout of 0 is none. */
    StreamTime(long lateness, long idleTimeout, Clock clock) {
        this.lateness = lateness;
        this.idleTimeout = idleTimeout;
        this.clock = clock;
        started = clock.getAsLong();
    }

    @Override
    public void onEvent(Row event, long ts, WatermarkOutput output) {
        heard = clock.getAsLong();
        latest = Math.max(latest, Math.min(ts, heard));
    }

    @Override
    public void onPeriodicEmit(WatermarkOutput output) {
        long now = clock.getAsLong();
        if (latest == Long.MIN_VALUE) {
            if (idleTimeout > 0 && now - started >= idleTimeout) {
                output.markIdle();
            }
            return;
        }
        long silent = now - heard;
        boolean idle = idleTimeout > 0 && silent >= idleTimeout;
        output.emitWatermark(new Watermark(latest + (idle ? silent : 0) - lateness - 1));
    }
}
