<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** A redis-server with a data directory of its own. */
final class Redis extends Process
{
    public string $url;
    private string $dir;
    private int $port;

    public function __construct(Scratch $scratch, ?int $port = null, ?string $dir = null)
    {
        $this->dir = $dir ?? $scratch->dir('redis');
        $this->port = $port ?? self::freePort();
        $this->url = "redis://127.0.0.1:{$this->port}/0";
        parent::__construct(
            ['redis-server', '--port', (string) $this->port, '--bind', '127.0.0.1', '--dir', $this->dir,
                '--save', '', '--appendonly', 'no'],
            "{$this->dir}/log",
        );
        TestCase::eventually(5, fn () => self::listening($this->port), fn () => 'redis-server does not listen');
    }

    /** A server at the same address after kill(): empty, as one that lost its memory. */
    public function again(Scratch $scratch): self
    {
        return new self($scratch, $this->port, $this->dir);
    }
}
