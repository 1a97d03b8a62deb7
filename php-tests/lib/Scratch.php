<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** A private directory of one test, removed when the test passed. */
final class Scratch
{
    public string $path;
    private int $count = 0;

    public function __construct()
    {
        $base = getenv('TEST_TMP') ?: sys_get_temp_dir();
        $this->path = sprintf('%s/exam-stream-%d-%s', $base, getmypid(), bin2hex(random_bytes(4)));
        mkdir($this->path, 0755, true);
    }

    public function dir(string $name): string
    {
        $dir = sprintf('%s/%s%d', $this->path, $name, ++$this->count);
        mkdir($dir, 0755);
        return $dir;
    }

    /** php-tests/scripts, where the web server's user can read them: a clone below /root it cannot enter. */
    public function scripts(): string
    {
        $dir = "{$this->path}/scripts";
        if (!is_dir($dir)) {
            mkdir($dir, 0755);
            foreach (glob(dirname(__DIR__) . '/scripts/*.php') as $script) {
                copy($script, "$dir/" . basename($script));
                chmod("$dir/" . basename($script), 0644);
            }
        }
        return $dir;
    }

    /** A directory of the user the web server's workers run as. */
    public function webDir(string $name): string
    {
        $dir = $this->dir($name);
        if (posix_getuid() === 0) {
            chown($dir, Env::webUser());
        }
        return $dir;
    }

    public function remove(): void
    {
        $entries = new \RecursiveIteratorIterator(
            new \RecursiveDirectoryIterator($this->path, \FilesystemIterator::SKIP_DOTS),
            \RecursiveIteratorIterator::CHILD_FIRST,
        );
        foreach ($entries as $entry) {
            $entry->isDir() && !$entry->isLink() ? @rmdir($entry->getPathname()) : @unlink($entry->getPathname());
        }
        @rmdir($this->path);
    }
}
