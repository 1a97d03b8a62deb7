<?php
// One PHP process that puts 200-byte records for some seconds, and the count of
// what became of them. Called by path.sh.
//
//   path.php put SECONDS STREAM                 through the extension, as fast as it accepts
//   path.php blocking SECONDS STREAM ENDPOINT   the peer: a PutRecord each, its connection kept
//   path.php count DIR COUNT                    how many of these are not in cold storage

declare(strict_types=1);

require __DIR__ . '/../crates/exam-stream/src/exam/putrecord.php';

const BYTES = 200;
/** Records in one call. */
const TOGETHER = 100;
/** Numbers have nine digits. */
const FIRST = 100_000_000;

/** Records of 200 bytes, numbered from $first on, of 900 attempts. */
function records(int $first, int $count): array {
    static $begin, $middle, $end, $close;
    if ($begin === null) {
        $now = sprintf('%.6F', microtime(true));
        $begin = '{"v":1,"id":"';
        $middle = "\",\"type\":\"answer\",\"ts\":$now,\"site\":\"bench\",\"quiz\":1,\"attempt\":";
        $end = ',"slot":1,"qa":1,"status":1,"page":"p","seq":';
        $close = ',"fields":{"answer":"%s"}}';
        $bare = strlen($begin . $middle . $end . $close) - 2 + 9 + 3 + 9;
        $close = sprintf($close, str_repeat('x', BYTES - $bare));
    }
    $records = [];
    for ($n = $first; $n < $first + $count; $n++) {
        $attempt = 100 + $n % 900;
        $records[] = "$begin$n$middle$attempt$end$n$close";
    }
    return $records;
}

function thousands(float $number, int $decimals = 0): string {
    return number_format($number, $decimals, '.', ',');
}

function put(float $seconds, string $stream): void {
    $sent = $full = 0;
    $lag = [];
    $folds = ini_get('exam_stream.state_url') !== '';
    $start = hrtime(true);
    $until = $start + (int) ($seconds * 1e9);
    $sample = $start;
    while (($now = hrtime(true)) < $until) {
        $records = records(FIRST + $sent, TOGETHER);
        for ($done = 0; $done < TOGETHER;) {
            $done += exam_stream_put_many($stream, $done > 0 ? array_slice($records, $done) : $records);
            if ($done < TOGETHER) {
                // The spool has reached its limit: the sender sets the pace.
                $full++;
                usleep(1000);
            }
        }
        $sent += TOGETHER;
        if ($now > $sample) {
            $sample += 250_000_000;
            $lag[] = exam_stream_stats()['oldest_unfolded'] ?? 0.0;
        }
    }
    $putting = (hrtime(true) - $start) / 1e6;
    do {
        usleep(5000);
        $stats = exam_stream_stats();
        $took = (hrtime(true) - $start) / 1e6;
    } while ($stats['delivered'] < $sent && $took < 300_000);
    // A full spool lets the state wait: what is skipped, `exam-stream rebuild` brings back.
    while ($folds && $stats['folded'] + $stats['fold_skipped'] < $sent && hrtime(true) - $start < 300e9) {
        usleep(5000);
        $stats = exam_stream_stats();
    }
    $folding = (hrtime(true) - $start) / 1e6 - $took;
    preg_match('/VmHWM:\s+(\d+)/', file_get_contents('/proc/self/status'), $peak);
    printf("  accepted   %s in %.1f s: %s records/ms%s\n", thousands($sent), $putting / 1e3,
        thousands($sent / $putting, 1), $full > 0 ? ", $full waits for room in the spool" : '');
    printf("  delivered  %s in %.1f s: %s records/ms\n", thousands($stats['delivered']), $took / 1e3,
        thousands($stats['delivered'] / $took, 1));
    if ($folds) {
        if ($stats['fold_skipped'] > 0) {
            printf("  skipped    %s by the fold, because the spool was full\n", thousands($stats['fold_skipped']));
        }
        sort($lag);
        printf("  folded     %s, %.0f ms after the last was delivered; oldest not folded, sampled: median %.0f ms, at most %.0f ms\n",
            thousands($stats['folded']), max(0, $folding), 1e3 * $lag[intdiv(count($lag), 2)], 1e3 * end($lag));
    }
    printf("  memory     %.1f MiB at most in the PHP process, its sender included\n", $peak[1] / 1024);
    fwrite(STDERR, "$sent\n");
}

function blocking(float $seconds, string $stream, string $endpoint): void {
    $call = curl_init();
    $start = hrtime(true);
    for ($sent = 0; hrtime(true) - $start < $seconds * 1e9; $sent++) {
        put_record($endpoint, $stream, records(FIRST + $sent, 1)[0], $call);
    }
    $took = (hrtime(true) - $start) / 1e6;
    printf("  delivered  %s in %.1f s: %s records/ms, one after the other on one connection\n", thousands($sent),
        $took / 1e3, thousands($sent / $took, 2));
    fwrite(STDERR, "$sent\n");
}

/** Reads every line; a bit for each number. */
function lost(string $dir, int $count): int {
    $found = str_repeat("\0", intdiv($count, 8) + 1);
    $seen = 0;
    foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator($dir, FilesystemIterator::SKIP_DOTS)) as $file) {
        if (!preg_match('/\.jsonl(\.gz)?$/', (string) $file)) {
            continue; // A compression that was interrupted.
        }
        $lines = fopen((str_ends_with((string) $file, '.gz') ? 'compress.zlib://' : '') . $file, 'r');
        while (($line = fgets($lines)) !== false) {
            $n = (int) substr($line, 13, 9) - FIRST;
            $bit = 1 << ($n & 7);
            $byte = ord($found[$n >> 3]);
            if (($byte & $bit) === 0) {
                $found[$n >> 3] = chr($byte | $bit);
                $seen++;
            }
        }
    }
    return $count - $seen;
}

match ($argv[1]) {
    'put' => put((float) $argv[2], $argv[3]),
    'blocking' => blocking((float) $argv[2], $argv[3], $argv[4]),
    'count' => printf("  lost       %s of %s, each looked for in cold storage\n",
        thousands(lost($argv[2], (int) $argv[3])), thousands((float) $argv[3])),
};
