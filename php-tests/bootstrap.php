<?php
declare(strict_types=1);

spl_autoload_register(static function (string $class): void {
    if (strncmp($class, 'ExamStream\\Tests\\', 17) === 0) {
        require __DIR__ . '/lib/' . substr($class, 17) . '.php';
    }
});
