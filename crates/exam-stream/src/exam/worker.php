<?php
// One PHP process of a replay. Reads records from stdin, each a line that
// lacks `ts` and the closing brace; stamps the time it received it, as a page
// of Moodle does, and writes a line for each: when that was done, in seconds
// since 1970, and how long the call took, in nanoseconds.
//
//   worker.php put STREAM                  exam_stream_put()
//   worker.php blocking ENDPOINT STREAM    put_record(), which the page waits for

/** Puts until it is accepted, as a browser does that keeps what is not saved. */
function put(string $stream, string $record, int &$refused): void {
    while (!exam_stream_put($stream, $record)) {
        $refused++;
        usleep(20_000);
    }
}

[, $way] = $argv;
if ($way === 'put' && !function_exists('exam_stream_put')) {
    fwrite(STDERR, "this PHP has no extension exam_stream: ./dev install, or -d extension=/path/to/libexam_stream.so\n");
    exit(1);
}
$refused = 0;
while (($line = fgets(STDIN)) !== false) {
    $record = rtrim($line, "\n") . sprintf(',"ts":%.6F}', microtime(true));
    $before = hrtime(true);
    if ($way === 'put') {
        put($argv[2], $record, $refused);
    } else {
        put_record($argv[2], $argv[3], $record);
    }
    $took = hrtime(true) - $before;
    fwrite(STDOUT, sprintf("%.6F %d\n", microtime(true), $took));
}

if ($way === 'put') {
    // All that this spool accepted, whichever process put it.
    $patience = microtime(true) + 60;
    do {
        $stats = exam_stream_stats();
        $settled = $stats['delivered'] >= $stats['accepted']
            && (ini_get('exam_stream.state_url') === '' || $stats['folded'] + $stats['fold_skipped'] >= $stats['accepted']);
    } while (!$settled && microtime(true) < $patience && usleep(20_000) === null);
    fwrite(STDOUT, 'stats ' . json_encode(['refused_puts' => $refused] + $stats) . "\n");
}
