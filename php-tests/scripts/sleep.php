<?php
// Puts ?n= records, then works past request_terminate_timeout.
for ($i = 0; $i < $_GET['n']; $i++) {
    exam_stream_put('', json_encode(['id' => "{$_GET['prefix']}-$i"]));
}
file_put_contents($_GET['log'], "done\n");
sleep(20);
echo 'null';
