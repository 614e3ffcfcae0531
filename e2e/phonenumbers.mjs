// Google's own library for phone numbers, asked line by line: a JSON array [region, text] in, the number in E.164 out, or
// why there is none.
import { createInterface } from 'node:readline';
import google from 'google-libphonenumber';

const { PhoneNumberUtil, PhoneNumberFormat, ShortNumberInfo } = google;
const util = PhoneNumberUtil.getInstance();
const shortNumbers = ShortNumberInfo.getInstance();
const reasons = Object.fromEntries(Object.entries(PhoneNumberUtil.ValidationResult).map(([name, n]) => [n, name]));

function answer(region, text) {
  let number;
  try {
    number = util.parse(text, region);
  } catch (err) {
    return `ERROR ${err.message}`;
  }
  const reason = util.isPossibleNumberWithReason(number);
  if (reason !== PhoneNumberUtil.ValidationResult.IS_POSSIBLE) return reasons[reason];
  if (!util.isValidNumber(number) && shortNumbers.isValidShortNumber(number)) return 'SHORT';
  return util.format(number, PhoneNumberFormat.E164);
}

for await (const line of createInterface({ input: process.stdin })) console.log(answer(...JSON.parse(line)));
