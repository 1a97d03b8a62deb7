<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** The real local server, `exam-stream serve`. */
final class Serve extends Process
{
    public string $url;
    private string $dir;
    private int $port;
    private ?string $state;

    public function __construct(Scratch $scratch, ?Redis $redis, ?int $port = null, ?string $dir = null)
    {
        $this->dir = $dir ?? $scratch->dir('serve');
        $this->port = $port ?? self::freePort();
        $this->url = "http://127.0.0.1:{$this->port}";
        $this->state = $redis->url ?? null;
        parent::__construct(
            [(string) Env::program(), 'serve', '--dir', $this->dir, '--listen', "127.0.0.1:{$this->port}",
                '--stream', 'exam', ...($this->state === null ? [] : ['--state', $this->state])],
            "{$this->dir}.log",
        );
        TestCase::eventually(10, fn () => self::listening($this->port), fn () => 'serve does not listen: ' . file_get_contents($this->log));
    }

    /** The same server again, after kill(). */
    public function again(Scratch $scratch, ?Redis $redis): self
    {
        return new self($scratch, $redis, $this->port, $this->dir);
    }

    /** @return \Generator<string> the lines in cold storage */
    public function lines(string $stream = 'exam'): \Generator
    {
        foreach (glob("{$this->dir}/cold/$stream/dt=*/hour=*/*.jsonl{,.gz}", GLOB_BRACE) as $part) {
            foreach (gzfile($part) as $line) {
                yield rtrim($line, "\n");
            }
        }
    }
}
