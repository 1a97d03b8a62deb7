<?php
/**
 * PutRecord as the paper's Figure 2 has it: signed (Signature Version 4), sent
 * and waited for. Keys and region are read from AWS's own environment variables.
 *
 * @param CurlHandle|null $call keeps the connection for the next call; without it each call
 *        opens one, as the first call of every page must
 */
function put_record(string $endpoint, string $stream, string $record, ?CurlHandle $call = null): void {
    $region = getenv('AWS_REGION') ?: 'us-east-1';
    $body = json_encode(['DeliveryStreamName' => $stream, 'Record' => ['Data' => base64_encode("$record\n")]]);
    $time = gmdate('Ymd\THis\Z');
    $scope = substr($time, 0, 8) . "/$region/firehose/aws4_request";
    $headers = [
        'content-type' => 'application/x-amz-json-1.1',
        'host' => preg_replace('~^https?://~', '', $endpoint),
        'x-amz-date' => $time,
        'x-amz-target' => 'Firehose_20150804.PutRecord',
    ];
    $lines = array_map(fn($name) => "$name:$headers[$name]", array_keys($headers));
    $signed = implode(';', array_keys($headers));
    $request = "POST\n/\n\n" . implode("\n", $lines) . "\n\n$signed\n" . hash('sha256', $body);
    $key = 'AWS4' . getenv('AWS_SECRET_ACCESS_KEY');
    foreach (explode('/', $scope) as $part) {
        $key = hash_hmac('sha256', $part, $key, true);
    }
    $signature = hash_hmac('sha256', "AWS4-HMAC-SHA256\n$time\n$scope\n" . hash('sha256', $request), $key);
    $lines[] = 'authorization: AWS4-HMAC-SHA256 Credential=' . getenv('AWS_ACCESS_KEY_ID')
        . "/$scope, SignedHeaders=$signed, Signature=$signature";
    $call ??= curl_init();
    curl_setopt_array($call, [
        CURLOPT_URL => "$endpoint/",
        CURLOPT_HTTPHEADER => $lines,
        CURLOPT_POSTFIELDS => $body,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_TIMEOUT => 10,
    ]);
    $answer = curl_exec($call);
    if (curl_getinfo($call, CURLINFO_RESPONSE_CODE) !== 200) {
        throw new RuntimeException('PutRecord: ' . ($answer ?: curl_error($call)));
    }
}
