<?php
// One PHP process of a replay. Reads records from stdin, each a line that
// lacks `ts` and the closing brace; stamps the time it received it, as a page
// of Moodle does, and writes a line for each: how it was sent and when that
// was done.
//
//   worker.php put STREAM                  exam_stream_put()
//   worker.php blocking ENDPOINT STREAM    a signed PutRecord that the page waits for

declare(strict_types=1);

[, $way] = $argv;

/** Puts until it is accepted, as a browser does that keeps what is not saved. */
function put(string $stream, string $record, int &$refused): void {
    while (!exam_stream_put($stream, $record)) {
        $refused++;
        usleep(20_000);
    }
}

/**
 * PutRecord as the paper's Figure 2 has it, Signature Version 4 included: one
 * round trip on a new connection, because a page has no earlier one.
 */
function put_record(string $endpoint, string $stream, string $record): void {
    $region = getenv('AWS_REGION') ?: 'us-east-1';
    $key = getenv('AWS_ACCESS_KEY_ID') ?: '';
    $secret = getenv('AWS_SECRET_ACCESS_KEY') ?: '';
    $body = json_encode(['DeliveryStreamName' => $stream, 'Record' => ['Data' => base64_encode($record . "\n")]]);
    $host = preg_replace('~^https?://~', '', $endpoint);
    $time = gmdate('Ymd\THis\Z');
    $day = substr($time, 0, 8);
    $headers = [
        'content-type' => 'application/x-amz-json-1.1',
        'host' => $host,
        'x-amz-date' => $time,
        'x-amz-target' => 'Firehose_20150804.PutRecord',
    ];
    $signed = implode(';', array_keys($headers));
    $canonical = "POST\n/\n\n";
    foreach ($headers as $name => $value) {
        $canonical .= "$name:$value\n";
    }
    $canonical .= "\n$signed\n" . hash('sha256', $body);
    $scope = "$day/$region/firehose/aws4_request";
    $signature = "AWS4$secret";
    foreach ([$day, $region, 'firehose', 'aws4_request'] as $part) {
        $signature = hash_hmac('sha256', $part, $signature, true);
    }
    $signature = hash_hmac('sha256', "AWS4-HMAC-SHA256\n$time\n$scope\n" . hash('sha256', $canonical), $signature);
    $lines = ["authorization: AWS4-HMAC-SHA256 Credential=$key/$scope, SignedHeaders=$signed, Signature=$signature"];
    foreach ($headers as $name => $value) {
        $lines[] = "$name: $value";
    }
    $call = curl_init("$endpoint/");
    curl_setopt_array($call, [
        CURLOPT_HTTPHEADER => $lines,
        CURLOPT_POSTFIELDS => $body,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 10,
    ]);
    $answer = curl_exec($call);
    if (curl_getinfo($call, CURLINFO_RESPONSE_CODE) !== 200) {
        fwrite(STDERR, 'PutRecord: ' . ($answer ?: curl_error($call)) . "\n");
        exit(1);
    }
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
            && (ini_get('exam_stream.state_url') === '' || $stats['folded'] >= $stats['accepted']);
    } while (!$settled && microtime(true) < $patience && usleep(20_000) === null);
    fwrite(STDOUT, 'stats ' . json_encode(['refused_puts' => $refused] + $stats) . "\n");
}
