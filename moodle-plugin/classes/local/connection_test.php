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

namespace local_examstream\local;

use core\check\result;

/**
 * "Test the connection": the way of one record, step by step.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class connection_test {
    /** Seconds to wait for the record's delivery. */
    private const DELIVERED_WITHIN = 10.0;

    /** Seconds to wait for the door's reply. */
    private const DOOR_WITHIN = 10;

    /**
     * The steps.
     *
     * @return result[] name of the string that names the step => result
     */
    public static function run(): array {
        $backend = \core\di::get(backend::class);
        $results = ['check_extension' => (new \local_examstream\check\extension())->get_result()];
        if (!$backend->is_available()) {
            return $results;
        }
        $steps = [
            'test_accepted' => fn() => self::accepted($backend),
            'test_delivered' => fn() => self::delivered($backend),
            'check_state_store' => fn() => (new \local_examstream\check\state_store())->get_result(),
            'test_door' => fn() => self::door(),
        ];
        foreach ($steps as $name => $step) {
            try {
                $results[$name] = $step();
            } catch (\Throwable $e) {
                $results[$name] = new result(result::ERROR, get_string('check_failed', 'local_examstream'), s($e->getMessage()));
            }
        }
        return $results;
    }

    /**
     * Puts a record that means nothing: types unknown to the fold pass through.
     *
     * @param backend $backend
     * @return result
     */
    private static function accepted(backend $backend): result {
        global $USER;
        $now = site::now();
        $grant = new grant(site::id(), 0, (int) $USER->id, 0, 0, [], page::mint($now), (int) $now, false);
        $page = page::of_server($now);
        $record = envelope::make($grant, 'test', "0-$page-1", $now, ['page' => $page, 'seq' => 1]);
        return $backend->put([envelope::encode($record)])
            ? new result(result::OK, get_string('test_accepted_ok', 'local_examstream'))
            : new result(result::ERROR, get_string('test_accepted_not', 'local_examstream'));
    }

    /**
     * Waits for its delivery.
     *
     * @param backend $backend
     * @return result
     */
    private static function delivered(backend $backend): result {
        $start = microtime(true);
        if ($backend->flush(self::DELIVERED_WITHIN)) {
            $ms = round((microtime(true) - $start) * 1000);
            return new result(result::OK, get_string('test_delivered_ok', 'local_examstream', $ms));
        }
        $error = (new figures($backend->stats()))->last_error();
        return new result(result::ERROR, get_string('test_delivered_not', 'local_examstream'), s((string) $error));
    }

    /**
     * Knocks at the door without a token: it must be there, and refuse.
     *
     * @return result
     */
    private static function door(): result {
        global $CFG;
        require_once($CFG->libdir . '/filelib.php');
        if (site::setting('mode') === 'ws') {
            return new result(result::NA, get_string('check_door_ws', 'local_examstream'));
        }
        // The site asks itself: its own address may be one that Moodle's users must not reach.
        $curl = new \curl(['ignoresecurity' => true]);
        $url = (new \moodle_url('/local/examstream/put.php'))->out(false);
        $reply = $curl->post($url, '{"records":[]}', ['CURLOPT_TIMEOUT' => self::DOOR_WITHIN]);
        $status = $curl->get_info()['http_code'] ?? 0;
        if ($status === 403 && (json_decode($reply, true)['error'] ?? '') === 'token') {
            return new result(result::OK, get_string('test_door_ok', 'local_examstream'));
        }
        $a = ['url' => $url, 'status' => $status];
        return new result(result::ERROR, get_string('test_door_not', 'local_examstream', $a), s((string) $curl->error));
    }
}
