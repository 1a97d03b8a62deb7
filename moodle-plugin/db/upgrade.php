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
 * Upgrades.
 *
 * @package   local_examstream
 * @copyright 2026 The Exam Stream contributors
 * @license   https://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

/**
 * Upgrades the table, and writes the door file anew: another version may expect something else in it.
 *
 * @param int $oldversion
 * @return bool
 */
function xmldb_local_examstream_upgrade($oldversion): bool {
    global $DB;
    if ($oldversion < 2026112300) {
        $manager = $DB->get_manager();
        $table = new xmldb_table('local_examstream_quiz');
        // A quiz may now say something else and nothing of this.
        $manager->change_field_default($table, new xmldb_field('enabled', XMLDB_TYPE_INTEGER, '1', null, XMLDB_NOTNULL));
        $manager->change_field_notnull($table, new xmldb_field('enabled', XMLDB_TYPE_INTEGER, '1'));
        $switches = ['helpdesk', 'signalhidden', 'signalclipboard', 'signalconnection', 'signaladdress', 'signaldevice'];
        $previous = 'enabled';
        foreach ($switches as $switch) {
            $field = new xmldb_field($switch, XMLDB_TYPE_INTEGER, '1', null, null, null, null, $previous);
            if (!$manager->field_exists($table, $field)) {
                $manager->add_field($table, $field);
            }
            $previous = $switch;
        }
        upgrade_plugin_savepoint(true, 2026112300, 'local', 'examstream');
    }
    if ($oldversion < 2026112302) {
        $table = new xmldb_table('local_examstream_erasure');
        $table->add_field('id', XMLDB_TYPE_INTEGER, '10', null, XMLDB_NOTNULL, XMLDB_SEQUENCE);
        $table->add_field('site', XMLDB_TYPE_CHAR, '64', null, XMLDB_NOTNULL);
        $table->add_field('attempt', XMLDB_TYPE_INTEGER, '10', null, XMLDB_NOTNULL);
        $table->add_field('timecreated', XMLDB_TYPE_INTEGER, '10', null, XMLDB_NOTNULL);
        $table->add_key('primary', XMLDB_KEY_PRIMARY, ['id']);
        $table->add_index('attemptsite', XMLDB_INDEX_UNIQUE, ['attempt', 'site']);
        if (!$DB->get_manager()->table_exists($table)) {
            $DB->get_manager()->create_table($table);
        }
        upgrade_plugin_savepoint(true, 2026112302, 'local', 'examstream');
    }
    if ($oldversion < 2026112800) {
        $manager = $DB->get_manager();
        $table = new xmldb_table('local_examstream_attempt');
        $table->add_field('id', XMLDB_TYPE_INTEGER, '10', null, XMLDB_NOTNULL, XMLDB_SEQUENCE);
        $table->add_field('site', XMLDB_TYPE_CHAR, '64', null, XMLDB_NOTNULL);
        $table->add_field('attempt', XMLDB_TYPE_INTEGER, '10', null, XMLDB_NOTNULL);
        $table->add_field('quiz', XMLDB_TYPE_INTEGER, '10', null, XMLDB_NOTNULL);
        $table->add_field('timerequested', XMLDB_TYPE_INTEGER, '10');
        $table->add_key('primary', XMLDB_KEY_PRIMARY, ['id']);
        $table->add_index('attemptsite', XMLDB_INDEX_UNIQUE, ['attempt', 'site']);
        $table->add_index('timerequested', XMLDB_INDEX_NOTUNIQUE, ['timerequested']);
        if (!$manager->table_exists($table)) {
            $manager->create_table($table);
        }
        \local_examstream\local\erasures::note('1 = 1', []);
        // What was deleted before is known by its number only.
        $list = new xmldb_table('local_examstream_erasure');
        if ($manager->table_exists($list)) {
            $DB->execute('INSERT INTO {local_examstream_attempt} (site, attempt, quiz, timerequested)
                          SELECT e.site, e.attempt, 0, e.timecreated
                            FROM {local_examstream_erasure} e
                           WHERE NOT EXISTS (SELECT 1
                                               FROM {local_examstream_attempt} a
                                              WHERE a.site = e.site AND a.attempt = e.attempt)');
            $manager->drop_table($list);
        }
        upgrade_plugin_savepoint(true, 2026112800, 'local', 'examstream');
    }
    \local_examstream\local\keys::publish();
    return true;
}
