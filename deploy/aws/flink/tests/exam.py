"""An exam as lines of records: what students do, delivered late, twice and out of order."""

import json
import random

START = 1_763_800_000.0
SITE = 'moodle.example'


def lines(students=40, minutes=12, seed=7, lateness=50):
    chance = random.Random(seed)
    records = []

    def record(ts, **members):
        number = len(records)
        records.append({'v': 1, 'id': f'r-{number}', 'ts': round(ts, 6), 'sent': round(ts - 0.2, 6),
                        'site': SITE, 'quiz': 4, 'page': 'p', 'seq': number, **members})

    for student in range(students):
        who = {'attempt': 100 + student, 'student_id': student, 'usage': 500 + student}
        now = START + chance.random() * 20
        # Some go away in the middle, some get stuck and ask nobody, some are fast.
        until = START + 60 * (minutes if student % 7 else minutes / 3)
        record(now, type='started', slots={str(slot): 9000 + slot for slot in range(1, 9)}, **who)
        slot = 1
        while now < until:
            now += chance.expovariate(1 / (3 if student % 11 == 1 else 20)) + 0.5
            kind = chance.random()
            if student % 9 == 4 and now > START + 180:
                kind = 0.7
            if kind < 0.6:
                record(now, type='answer', slot=slot, qa=9000 + slot, status=chance.choice((1, 1, 1, 0)), at=round(now - 1.5, 6),
                       fields={'answer': str(chance.randrange(4)), ':sequencecheck': '1'}, **who)
                slot = slot if student % 5 == 2 else slot % 8 + 1
            elif kind < 0.8:
                record(now, type='alive', device=f'd{student % 3}', address='00112233445566aa', agent='ffeeddccbbaa9988', **who)
            elif kind < 0.95:
                record(now, type='focus', counts={'hidden': chance.randrange(9), 'hidden_s': chance.randrange(200),
                                                  'pasted': chance.randrange(5)}, **who)
            else:
                record(now, type='help', step='asked', call=f'c-{len(records)}', **who)
        if student % 7:
            record(now + 1, type='finished', **who)
    texts = [(r['ts'], json.dumps(r, ensure_ascii=False)) for r in records]
    texts += [(START + 66.5, '{"status":"s1120","student_id":3,"timestamp":%s}' % 1.7638000665e9)]
    texts += chance.sample(texts, len(texts) // 10)
    texts.sort(key=lambda t: t[0] + chance.random() * lateness)
    lines = [text for _, text in texts]
    # What no query may see.
    lines[50:50] = ['no json at all', '[1]', '{"v":1,"id":"x","type":"alive"}',
                    '{"v":1,"id":"s","type":"signal","ts":%r,"site":"moodle.example","quiz":4}' % (START + 1)]
    return lines
