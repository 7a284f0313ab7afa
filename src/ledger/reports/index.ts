export { chargeback, type Chargeback, type ChargebackLine } from "./chargeback.ts";
export { csvOf } from "./csv.ts";
export { extrapolate, forecast, type Forecast, LEAST_DAYS } from "./forecast.ts";
export { ReportError, spendReport, type SpendLine, type SpendQuery, type SpendReport } from "./spend.ts";
export { dayOf, spansOf, ZoneError } from "./zones.ts";
export { timeOf, type AskedTime } from "./request.ts";
