<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** A php-fpm master with pools of its own, the extension loaded. */
final class Fpm extends Process
{
    private string $dir;
    private string $scripts;

    /**
     * @param array<string, array<string, string>> $pools pool name => directives
     * @param array<string, string|int> $ini given with -d, for every pool
     */
    public function __construct(Scratch $scratch, array $pools, array $ini)
    {
        $this->dir = $scratch->dir('fpm');
        $this->scripts = $scratch->scripts();
        $config = "[global]\nerror_log = {$this->dir}/fpm.log\ndaemonize = no\nlog_level = notice\n";
        foreach ($pools as $name => $directives) {
            $directives += [
                'listen' => $this->socket($name),
                'listen.mode' => '0666',
                'pm' => 'static',
                'pm.max_children' => '2',
                'catch_workers_output' => 'yes',
                'clear_env' => 'no',
            ];
            if (posix_getuid() === 0) {
                $directives += ['user' => Env::webUser(), 'group' => Env::webUser()];
            }
            $config .= "[$name]\n";
            foreach ($directives as $key => $value) {
                $config .= "$key = $value\n";
            }
        }
        file_put_contents("{$this->dir}/fpm.conf", $config);
        parent::__construct(
            [Env::fpm(), '-n', '-F', '-y', "{$this->dir}/fpm.conf", '-c', '/dev/null', ...Env::ini($ini)],
            "{$this->dir}/out.log",
        );
        // Its sockets are there a moment before it listens on them.
        TestCase::eventually(
            10,
            fn () => str_contains($this->logs(), 'ready to handle connections'),
            fn () => 'php-fpm does not listen: ' . $this->logs(),
        );
    }

    public function socket(string $pool = 'www'): string
    {
        return "{$this->dir}/$pool.sock";
    }

    /**
     * Runs php-tests/scripts/$script.php in a worker.
     *
     * @param array<string, string|int|float> $query
     * @return mixed what the script printed as JSON
     */
    public function run(string $script, array $query = [], string $pool = 'www', float $timeout = 30.0)
    {
        return $this->result($this->start($script, $query, $pool, $timeout));
    }

    /**
     * The same in the background, for result().
     *
     * @param array<string, string|int|float> $query
     * @return resource
     */
    public function start(string $script, array $query = [], string $pool = 'www', float $timeout = 180.0)
    {
        return FastCgi::send($this->socket($pool), "{$this->scripts}/$script.php", array_map('strval', $query), $timeout);
    }

    /**
     * @param resource $request
     * @return mixed
     */
    public function result($request)
    {
        $body = FastCgi::answer($request);
        $value = json_decode($body, true);
        if ($value === null && trim($body) !== 'null') {
            throw new \RuntimeException("a script printed: $body");
        }
        return $value;
    }

    /** @return list<int> pids of the workers */
    public function workers(): array
    {
        $children = @file_get_contents("/proc/{$this->pid}/task/{$this->pid}/children");
        return array_map('intval', array_values(array_filter(explode(' ', trim((string) $children)))));
    }

    public function logs(): string
    {
        return @file_get_contents("{$this->dir}/fpm.log") . @file_get_contents($this->log);
    }
}
