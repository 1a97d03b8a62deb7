<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** Moto's Firehose and S3: somebody else's idea of what AWS does. */
final class Moto extends Process
{
    public string $url;

    public function __construct(Scratch $scratch, string $program)
    {
        $port = self::freePort();
        $this->url = "http://127.0.0.1:$port";
        parent::__construct([$program, '-H', '127.0.0.1', '-p', (string) $port], $scratch->dir('moto') . '/log');
        TestCase::eventually(30, fn () => self::listening($port), fn () => 'moto does not listen: ' . file_get_contents($this->log));
        $this->request('s3', 'PUT', '/bucket');
        $this->request('firehose', 'POST', '/', json_encode([
            'DeliveryStreamName' => 'exam',
            'ExtendedS3DestinationConfiguration' => ['RoleARN' => 'arn:aws:iam::123456789012:role/firehose', 'BucketARN' => 'arn:aws:s3:::bucket'],
        ]), ['X-Amz-Target: Firehose_20150804.CreateDeliveryStream', 'Content-Type: application/x-amz-json-1.1']);
    }

    /** moto_server of the PATH, or of a virtual environment made for it; null where neither is to be had. */
    public static function program(): ?string
    {
        foreach (explode(':', (string) getenv('PATH')) as $dir) {
            if (is_executable("$dir/moto_server")) {
                return "$dir/moto_server";
            }
        }
        $venv = (getenv('XDG_CACHE_HOME') ?: getenv('HOME') . '/.cache') . '/exam-stream/moto';
        if (!is_executable("$venv/bin/moto_server")) {
            fwrite(STDERR, "\ninstalling moto[server] into $venv\n");
            exec('python3 -m venv --clear ' . escapeshellarg($venv) . ' && ' . escapeshellarg("$venv/bin/pip") . " install -q 'moto[server]' 2>&1", $out, $code);
            if ($code !== 0) {
                fwrite(STDERR, implode("\n", $out) . "\n");
                return null;
            }
        }
        return "$venv/bin/moto_server";
    }

    /** @return list<string> the lines of all objects in the bucket */
    public function lines(): array
    {
        $list = simplexml_load_string($this->request('s3', 'GET', '/bucket?list-type=2&max-keys=1000'));
        $lines = [];
        foreach ($list->Contents as $object) {
            $body = $this->request('s3', 'GET', '/bucket/' . rawurlencode((string) $object->Key));
            if (substr($body, -1) !== "\n") {
                throw new \RuntimeException("{$object->Key} does not end with a newline");
            }
            array_push($lines, ...explode("\n", substr($body, 0, -1)));
        }
        return $lines;
    }

    /**
     * A user who may do this and nothing else, in moto's IAM.
     *
     * @return array<string, string> the user's credentials, as environment variables
     */
    public function userWhoMay(string $action): array
    {
        $this->iam(['Action' => 'CreateUser', 'UserName' => 'moodle']);
        $policy = ['Version' => '2012-10-17', 'Statement' => [['Effect' => 'Allow', 'Action' => $action, 'Resource' => '*']]];
        $this->iam(['Action' => 'PutUserPolicy', 'UserName' => 'moodle', 'PolicyName' => 'hosts', 'PolicyDocument' => json_encode($policy)]);
        $key = simplexml_load_string($this->iam(['Action' => 'CreateAccessKey', 'UserName' => 'moodle']))->CreateAccessKeyResult->AccessKey;
        return ['AWS_ACCESS_KEY_ID' => (string) $key->AccessKeyId, 'AWS_SECRET_ACCESS_KEY' => (string) $key->SecretAccessKey];
    }

    /** Whether from here on moto computes every request's signature and asks its IAM, or believes everybody. */
    public function checkSignatures(bool $check): void
    {
        $this->request('moto', 'POST', '/moto-api/reset-auth', $check ? '0' : '1000000', ['Content-Type: text/plain']);
    }

    /** @param array<string, string> $call */
    private function iam(array $call): string
    {
        $body = http_build_query($call + ['Version' => '2010-05-08']);
        return $this->request('iam', 'POST', '/', $body, ['Content-Type: application/x-www-form-urlencoded']);
    }

    /** @param list<string> $headers */
    private function request(string $service, string $method, string $path, string $body = '', array $headers = []): string
    {
        // Moto tells services apart by the credential scope, and checks no signature unless it is told to.
        $headers[] = "Authorization: AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/$service/aws4_request, SignedHeaders=host, Signature=0";
        $context = stream_context_create(['http' => ['method' => $method, 'header' => $headers, 'content' => $body, 'ignore_errors' => true]]);
        $answer = file_get_contents($this->url . $path, false, $context);
        if (!preg_match('/ 2\d\d /', $http_response_header[0])) {
            throw new \RuntimeException("moto, $method $path: {$http_response_header[0]} $answer");
        }
        return $answer;
    }
}
