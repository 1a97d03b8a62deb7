<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** The endpoint of faulty-firehose.php: fails as the test tells it. */
final class FaultyFirehose extends Process
{
    public string $url;
    private string $dir;
    private int $port;

    public function __construct(Scratch $scratch, ?int $port = null, ?string $dir = null)
    {
        $this->dir = $dir ?? $scratch->dir('firehose');
        $this->port = $port ?? self::freePort();
        $this->url = "http://127.0.0.1:{$this->port}";
        parent::__construct(
            [Env::php(), '-n', __DIR__ . '/faulty-firehose.php', (string) $this->port, $this->dir],
            "{$this->dir}/log",
        );
        TestCase::eventually(5, fn () => self::listening($this->port), fn () => 'the endpoint does not listen');
    }

    /** The same endpoint again, after kill(). */
    public function again(Scratch $scratch): self
    {
        return new self($scratch, $this->port, $this->dir);
    }

    public function fail(string $fault, string $stream = '*'): void
    {
        $faults = json_decode((string) @file_get_contents("{$this->dir}/faults.json"), true) ?? [];
        $faults[$stream] = $fault;
        file_put_contents("{$this->dir}/faults.new", json_encode($faults));
        rename("{$this->dir}/faults.new", "{$this->dir}/faults.json");
    }

    /** @return list<string> */
    public function lines(string $stream = 'exam'): array
    {
        $lines = explode("\n", (string) @file_get_contents("{$this->dir}/$stream.lines"));
        return array_values(array_filter($lines, 'strlen'));
    }

    /** @return list<array{time: float, stream: string, fault: string, records: int, failed: int}> */
    public function calls(): array
    {
        $calls = [];
        foreach (@file("{$this->dir}/calls") ?: [] as $line) {
            [$time, $stream, $fault, $records, $failed] = explode(' ', trim($line));
            $calls[] = ['time' => (float) $time, 'stream' => $stream, 'fault' => $fault, 'records' => (int) $records, 'failed' => (int) $failed];
        }
        return $calls;
    }

    /** The Authorization header of the last call. */
    public function lastAuthorization(): string
    {
        return (string) @file_get_contents("{$this->dir}/authorization");
    }
}
