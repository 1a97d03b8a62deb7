<?php
// This file is part of Moodle - https://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <https://www.gnu.org/licenses/>.

/**
 * What was deleted in Moodle and may still be in the stream.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

define('CLI_SCRIPT', true);

require(__DIR__ . '/../../../config.php');
require_once($CFG->libdir . '/clilib.php');

[$options, $unknown] = cli_get_params(['help' => false, 'done' => false], ['h' => 'help']);
if ($unknown || $options['help']) {
    cli_writeln(<<<'TEXT'
Prints the attempts that were deleted in Moodle and may still be in the state store and in cold storage, a line each:
the id of the site and of the attempt, with a tab between. Empty: nothing is to be erased.

With --done it reads such lines from its standard input and takes them off the list.

    php local/examstream/cli/erasures.php > erase.tsv
    exam-stream erase --site ID $(cut -f 2 erase.tsv | sed 's/^/--attempt /') ...    (where the server's storage is)
    php local/examstream/cli/erasures.php --done < erase.tsv
TEXT);
    exit($unknown ? 2 : 0);
}

if ($options['done']) {
    while (($line = fgets(STDIN)) !== false) {
        if (preg_match('/^(\S{1,64})\t(\d{1,18})\s*$/D', $line, $match)) {
            \local_examstream\local\erasures::done($match[1], (int) $match[2]);
        } else if (trim($line) !== '') {
            cli_error('This is not a line of the list: ' . $line);
        }
    }
    exit(0);
}
$erasures = \local_examstream\local\erasures::pending();
foreach ($erasures as $erasure) {
    echo $erasure->site, "\t", $erasure->attempt, "\n";
}
$erasures->close();
