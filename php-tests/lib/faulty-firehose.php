<?php
declare(strict_types=1);

/**
 * A Firehose endpoint that fails as told: php faulty-firehose.php PORT DIR.
 *
 * DIR/faults.json is read at each request: {"<stream or *>": "<fault>"}.
 *   ok | half (every second record of a batch) | throttle | expired | missing
 *   | refuse (InvalidArgument, whatever is sent) | poison (InvalidArgument for a
 *   batch with a line that contains "poison") | unavailable | hang
 * Accepted lines are appended to DIR/<stream>.lines; each call is a line of
 * DIR/calls: time, stream, fault, records, failed records.
 */

[, $port, $dir] = $argv;
$server = stream_socket_server("tcp://127.0.0.1:$port", $errno, $error) ?: exit("$error\n");
$clients = $buffers = [];

while (true) {
    $read = [...$clients, -1 => $server];
    $none = null;
    if (stream_select($read, $none, $none, null) === false) {
        exit(1);
    }
    foreach ($read as $socket) {
        if ($socket === $server) {
            $client = stream_socket_accept($server, 0);
            if ($client !== false) {
                $clients[(int) $client] = $client;
                $buffers[(int) $client] = '';
            }
            continue;
        }
        $id = (int) $socket;
        $part = fread($socket, 1 << 20);
        if ($part === '' || $part === false) {
            fclose($socket);
            unset($clients[$id], $buffers[$id]);
            continue;
        }
        $buffers[$id] .= $part;
        while (($end = strpos($buffers[$id], "\r\n\r\n")) !== false) {
            $head = substr($buffers[$id], 0, $end);
            $length = preg_match('/^content-length:\s*(\d+)/mi', $head, $m) ? (int) $m[1] : 0;
            if (strlen($buffers[$id]) < $end + 4 + $length) {
                if (stripos($head, '100-continue') !== false) {
                    fwrite($socket, "HTTP/1.1 100 Continue\r\n\r\n");
                }
                break;
            }
            $body = substr($buffers[$id], $end + 4, $length);
            $buffers[$id] = substr($buffers[$id], $end + 4 + $length);
            $answer = answer($dir, $head, $body);
            if ($answer !== null) {
                [$status, $json] = $answer;
                fwrite($socket, "HTTP/1.1 $status X\r\nContent-Type: application/x-amz-json-1.1\r\n"
                    . "x-amzn-RequestId: " . bin2hex(random_bytes(8)) . "\r\n"
                    . 'Content-Length: ' . strlen($json) . "\r\n\r\n$json");
            }
        }
    }
}

/** @return array{int, string}|null status and body; null answers nothing */
function answer(string $dir, string $head, string $body): ?array
{
    $request = json_decode($body, true) ?? [];
    $stream = $request['DeliveryStreamName'] ?? '';
    $faults = json_decode((string) @file_get_contents("$dir/faults.json"), true) ?? [];
    $fault = $faults[$stream] ?? $faults['*'] ?? 'ok';
    $batch = preg_match('/^x-amz-target:.*PutRecordBatch/mi', $head) === 1;
    $records = array_map(
        fn ($record) => base64_decode($record['Data']),
        $batch ? $request['Records'] ?? [] : [$request['Record'] ?? ['Data' => '']],
    );
    if ($fault === 'poison' && strpos(implode($records), 'poison') === false) {
        $fault = 'ok';
    }
    $failed = $fault === 'ok' ? 0 : ($fault === 'half' ? intdiv(count($records), 2) : count($records));
    file_put_contents("$dir/calls", sprintf("%.3f %s %s %d %d\n", microtime(true), $stream, $fault, count($records), $failed), FILE_APPEND);

    if (preg_match('/^authorization:.*$/mi', $head, $m)) {
        file_put_contents("$dir/authorization", $m[0]);
    }

    switch ($fault) {
        case 'throttle':
            return [400, '{"__type":"ThrottlingException","message":"Rate exceeded"}'];
        case 'expired':
            return [400, '{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}'];
        case 'missing':
            return [400, json_encode(['__type' => 'ResourceNotFoundException', 'message' => "Firehose $stream under account 000000000000 not found."])];
        case 'refuse':
        case 'poison':
            return [400, '{"__type":"InvalidArgumentException","message":"1 validation error detected"}'];
        case 'unavailable':
            return [503, '{"__type":"ServiceUnavailableException","message":"Slow down."}'];
        case 'hang':
            return null;
    }
    $responses = [];
    $taken = '';
    foreach ($records as $i => $data) {
        if ($fault === 'half' && $i % 2 === 1) {
            $responses[] = ['ErrorCode' => 'ServiceUnavailableException', 'ErrorMessage' => 'Slow down.'];
            continue;
        }
        $taken .= $data;
        $responses[] = ['RecordId' => bin2hex(random_bytes(16))];
    }
    file_put_contents("$dir/$stream.lines", $taken, FILE_APPEND);
    return [200, json_encode($batch
        ? ['FailedPutCount' => $failed, 'Encrypted' => false, 'RequestResponses' => $responses]
        : $responses[0])];
}
