<?php
declare(strict_types=1);

namespace ExamStream\Tests;

/** An Apache of processes (mpm_prefork) with mod_php, the extension loaded into it. */
final class Apache extends Process
{
    private const MODULES = '/usr/lib/apache2/modules';

    private string $dir;
    private int $port;

    /**
     * @param array<string, string|int> $directives of the server
     * @param array<string, string|int> $ini
     */
    public function __construct(Scratch $scratch, array $directives, array $ini)
    {
        $this->dir = $scratch->dir('apache');
        $this->port = self::freePort();
        // As in php.ini, what follows each -d.
        $settings = array_filter(Env::ini($ini), fn ($argument) => $argument !== '-d');
        file_put_contents("{$this->dir}/php.ini", implode("\n", $settings) . "\n");
        $directives += [
            'ServerRoot' => $this->dir,
            'ServerName' => 'localhost',
            'Listen' => "127.0.0.1:{$this->port}",
            'PidFile' => "{$this->dir}/pid",
            'Mutex' => "file:{$this->dir}",
            'ErrorLog' => "{$this->dir}/error.log",
            'PHPIniDir' => $this->dir,
            'DocumentRoot' => $scratch->scripts(),
        ];
        if (posix_getuid() === 0) {
            $directives += ['User' => Env::webUser(), 'Group' => Env::webUser()];
        }
        $config = '';
        foreach (['mpm_prefork' => 'mod_mpm_prefork', 'authz_core' => 'mod_authz_core', 'php' => self::php()] as $name => $file) {
            $config .= "LoadModule {$name}_module " . self::MODULES . "/$file.so\n";
        }
        foreach ($directives as $name => $value) {
            $config .= "$name $value\n";
        }
        file_put_contents("{$this->dir}/apache.conf", "$config<FilesMatch \\.php$>\nSetHandler application/x-httpd-php\n</FilesMatch>\n");
        parent::__construct(
            // It signals its whole process group, which must not be the suite's.
            ['setsid', '/usr/sbin/apache2', '-DFOREGROUND', '-f', "{$this->dir}/apache.conf"],
            "{$this->dir}/out.log",
            // Without the INI files that are there for the system's own Apache.
            ['PHP_INI_SCAN_DIR' => ''],
        );
        TestCase::eventually(10, fn () => self::listening($this->port), fn () => "Apache does not listen: {$this->logs()}");
    }

    /** What is missing to have one; null: nothing. */
    public static function missing(): ?string
    {
        $module = self::MODULES . '/' . self::php() . '.so';
        return is_executable('/usr/sbin/apache2') && is_file($module) ? null
            : "no Apache with $module: apt-get install libapache2-mod-php" . PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION;
    }

    /**
     * Asks for php-tests/scripts/$script.php; result() waits for what it prints.
     *
     * @param array<string, string|int|float> $query
     * @return resource
     */
    public function start(string $script, array $query = [], float $timeout = 60.0)
    {
        $stream = stream_socket_client("tcp://127.0.0.1:{$this->port}", $errno, $error, $timeout);
        stream_set_timeout($stream, (int) ceil($timeout));
        fwrite($stream, "GET /$script.php?" . http_build_query($query) . " HTTP/1.0\r\n\r\n");
        return $stream;
    }

    /**
     * @param resource $request
     * @return mixed what the script printed as JSON; null if its process was killed
     */
    public function result($request)
    {
        [, $body] = explode("\r\n\r\n", (string) stream_get_contents($request), 2) + [1 => 'null'];
        fclose($request);
        return json_decode($body, true, 512, JSON_THROW_ON_ERROR);
    }

    public function logs(): string
    {
        return @file_get_contents("{$this->dir}/error.log") . @file_get_contents($this->log);
    }

    private static function php(): string
    {
        return 'libphp' . PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION;
    }
}
