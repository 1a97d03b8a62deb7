package examstream;

import org.apache.flink.api.common.functions.MapFunction;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Rows that nobody asked for elsewhere. */
final class Log implements MapFunction<String, String> {
    private static final long serialVersionUID = 1;
    private static final Logger LOG = LoggerFactory.getLogger(Log.class);

    @Override
    public String map(String line) {
        LOG.info("{}", line);
        return line;
    }
}
